// Runs in a guest: installs a release by the engine of the updater, on real block devices and a real vfat.
import { readFileSync } from 'node:fs'
import { mountBootPartition } from '@pkg/update/boot-partition'
import { folderSource } from '@pkg/update/folder-source'
import { installRelease } from '@pkg/update/install'
import { openDonor, openPartition } from '@pkg/update/partition'
import { readRelease } from '@pkg/update/release'
import type { BlobSource } from '@pkg/update/source'
import { mark, type Place } from './place.ts'

/** One installation. */
export interface CarefulStep extends Place {
  /** Folder of the release's layout, with the text of its manifest in `manifest.json`. */
  readonly layout: string
  /** After how many bytes from the source it is broken off. Default: never. */
  readonly breakAtBytes?: number
}

/** Carries one out; what was broken off is no error. */
export async function installCarefully(step: CarefulStep): Promise<void> {
  const { name, layout, slot, target, donor, esp, breakAtBytes = Number.POSITIVE_INFINITY } = step
  const stop = new AbortController()
  const source = breaking(folderSource(layout), stop, breakAtBytes)
  using boot = await mountBootPartition({ device: esp, mountPoint: '/run/careful-esp' })
  using root = openPartition(target)
  using other = openDonor(donor)
  let phase = ''
  mark(`${name}: begins`)
  try {
    await installRelease({
      release: readRelease(readFileSync(`${layout}/manifest.json`, 'utf8')),
      ...{ source, slot, target: root, donors: [other], boot, signal: stop.signal },
      onProgress: (progress) => {
        if (progress.phase !== phase) mark(`${name}: ${(phase = progress.phase)}`)
      },
    })
    mark(`${name}: installed`)
  } catch (error) {
    if (!stop.signal.aborted) throw error
    mark(`${name}: broken off`)
  }
}

function breaking(source: BlobSource, stop: AbortController, limitBytes: number): BlobSource {
  let doneBytes = 0
  return {
    async *open(...where) {
      for await (const chunk of source.open(...where)) {
        doneBytes += chunk.length
        if (doneBytes > limitBytes) stop.abort(new Error('broken off'))
        yield chunk
      }
    },
  }
}
