// Runs in a guest: installs a release in ways that others have and that are wrong. What the judge is worth is seen by
// whether it finds that.
import { closeSync, fsyncSync, openSync, readFileSync, renameSync, rmSync, writeSync } from 'node:fs'
import { freshEntryName } from '@pkg/init/disk-marks'
import { mount } from '@pkg/mount/mount'
import { unmount } from '@pkg/mount/unmount'
import { AT_FDCWD, O_CLOEXEC, O_DIRECTORY, O_RDONLY } from '@pkg/sys/constants'
import { openat } from '@pkg/sys/fs'
import { syncfs } from '@pkg/sys/io'
import { makeFolder, mark, type Place } from './place.ts'

/**
 * `kernel first`: the boot entry is there before the root is. `good entry first`: what runs is taken away before
 * something else is there. `rename without fsync`: the entry gets its name before its bytes are on the disk.
 */
export type Mistake = 'kernel first' | 'good entry first' | 'rename without fsync'

/** One installation that goes wrong when the power fails. */
export interface CarelessStep extends Place {
  readonly mistake: Mistake
  /** Files with the release's root and kernel image. */
  readonly root: string
  readonly uki: string
  /** The other slot, which runs. */
  readonly runningSlot: string
}

const MOUNT_POINT = '/run/careless-esp'
const FOLDER = `${MOUNT_POINT}/EFI/Linux`

/** Carries one out. */
export function installCarelessly(step: CarelessStep): void {
  makeFolder(MOUNT_POINT)
  mount({ source: step.esp, target: MOUNT_POINT, type: 'vfat', options: '' })
  try {
    mark(`${step.name}: begins`)
    if (step.mistake === 'good entry first') {
      rmSync(`${FOLDER}/${freshEntryName(step.runningSlot)}`)
      fsync(FOLDER)
    }
    if (step.mistake !== 'kernel first') writeFile(step.target, readFileSync(step.root), true)
    writeEntry(step, step.mistake !== 'rename without fsync')
    if (step.mistake === 'kernel first') writeFile(step.target, readFileSync(step.root), true)
    mark(`${step.name}: installed`)
  } finally {
    unmount({ target: MOUNT_POINT })
  }
}

function writeEntry({ slot, uki }: CarelessStep, isFlushed: boolean): void {
  const temporary = `${FOLDER}/${slot}.new`
  writeFile(temporary, readFileSync(uki), isFlushed)
  if (!isFlushed) {
    // As one finds it in programs that update a boot partition: the name is looked after, its bytes are not.
    renameSync(temporary, `${FOLDER}/${freshEntryName(slot)}`)
    return fsync(FOLDER)
  }
  renameSync(temporary, `${FOLDER}/${freshEntryName(slot)}`)
  // fsync(2) of the folder alone would leave an entry of no bytes: vfat's rename leaves its size to the inode's turn.
  using folder = openat(AT_FDCWD, FOLDER, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
  syncfs(folder)
  fsync(FOLDER)
}

/** Writes in pieces, each of which the kernel may send to the disk when it likes. */
function writeFile(path: string, bytes: Uint8Array, isFlushed: boolean): void {
  const fd = openSync(path, path.startsWith('/dev/') ? 'r+' : 'w')
  for (let at = 0; at < bytes.length; at += 65_536) writeSync(fd, bytes.subarray(at, at + 65_536))
  if (isFlushed) fsyncSync(fd)
  closeSync(fd)
}

function fsync(path: string): void {
  const fd = openSync(path, 'r')
  fsyncSync(fd)
  closeSync(fd)
}
