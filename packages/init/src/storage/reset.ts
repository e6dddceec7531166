/** The factory reset: the mark of a partition that was never formatted, over what the data partition held. */
import { BlockDevice } from './block-device.ts'
import { MARK_BYTES, NEVER_FORMATTED } from './ext4-head.ts'

/**
 * Writes the mark, and returns when the disk has it. One sector is the whole reset: it is done or not, whenever the
 * power goes; the next boot makes the file system anew.
 *
 * @param path - of the data partition, which is not mounted, or only to be read
 * @throws SysError it cannot be written
 */
export function markNeverFormatted(path: string): void {
  using device = new BlockDevice(path, 'write')
  const sector = new Uint8Array(new ArrayBuffer(MARK_BYTES))
  sector.set(new TextEncoder().encode(NEVER_FORMATTED))
  device.write(0, sector)
  device.flush()
}
