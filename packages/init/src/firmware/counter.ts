/**
 * The release counter on the boot partition: the largest of a release that was blessed on this machine. It says what may
 * be installed, never what boots, and outlives a factory reset.
 */
import { isSysError } from '@pkg/sys/errno'
import { makeFolder } from '../shell/cgroup.ts'
import { readIfThere, writeSafely } from '../shell/safe-file.ts'

/** Its folder, and the file in it. */
const FOLDER = 'EFI/solo'
const FILE = `${FOLDER}/counter`

/**
 * The counter; 0 where none was ever kept, null where the file, or the folder that has it, is damaged.
 *
 * @param root - the boot partition
 */
export function readCounter(root: string): number | null {
  const text = textOf(`${root}/${FILE}`)
  if (text === undefined) return 0
  return /^\d{1,15}\n$/.test(text) ? Number(text) : null
}

/** Keeps a larger counter; a smaller one changes nothing, and a damaged file is replaced. */
export function raiseCounter(root: string, counter: number): void {
  const stored = readCounter(root)
  if (stored !== null && counter <= stored) return
  makeFolder(`${root}/${FOLDER}`)
  writeSafely(`${root}/${FILE}`, new TextEncoder().encode(`${counter}\n`), 0o644)
}

/** Of what FAT cannot read nothing is known, which is no reason not to start. */
function textOf(path: string): string | undefined {
  try {
    return readIfThere(path)
  } catch (error) {
    if (isSysError(error, 'EIO')) return ''
    throw error
  }
}
