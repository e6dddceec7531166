/** The files behind a guest's disks: empty temporary ones, and overlays that keep an image as it is. */
import { closeSync, ftruncateSync, openSync, readSync, rmSync, statSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { VmError } from '../errors.ts'
import { workFolder } from '../process-machine/work-folder.ts'

/** Clusters of 64 KiB, as qemu-img makes them. */
const CLUSTER_BITS = 16
const CLUSTER_BYTES = 1 << CLUSTER_BITS

/** A table of level 2 fills a cluster with entries of 8 bytes, each of which maps a cluster: 512 MiB. */
const BYTES_PER_TABLE = (CLUSTER_BYTES / 8) * CLUSTER_BYTES

/** One cluster of level 1 maps this: 4 TiB. */
const OVERLAY_BYTES_MAX = (CLUSTER_BYTES / 8) * BYTES_PER_TABLE

/** A file that is there only until QEMU has it open. */
export interface TemporaryFile extends Disposable {
  /** Its path. */
  path: string
}

/**
 * An empty file of `sizeBytes` that takes no room yet, or with `content` what that says.
 *
 * @throws {@link VmError} the temporary folder is full or cannot be written
 */
export function temporaryFile(sizeBytes: number, content?: Uint8Array): TemporaryFile {
  try {
    const folder = workFolder()
    const path = join(folder, 'disk')
    const file = openSync(path, 'wx', 0o600)
    if (content !== undefined) writeSync(file, content)
    ftruncateSync(file, sizeBytes)
    closeSync(file)
    return { path, [Symbol.dispose]: () => rmSync(folder, { recursive: true, force: true }) }
  } catch (cause) {
    throw new VmError(`a disk's temporary file: ${(cause as Error).message}`, '', cause)
  }
}

/**
 * A qcow2 image of `sizeBytes` that has nothing of its own: every read goes to what stands behind it. Header, one
 * table of reference counts with one block, and an empty table of level 1, a cluster each.
 *
 * @throws RangeError more than 4 TiB
 * @see https://gitlab.com/qemu-project/qemu/-/blob/v7.2.0/docs/interop/qcow2.txt
 */
export function emptyOverlay(sizeBytes: number): Uint8Array {
  if (sizeBytes > OVERLAY_BYTES_MAX)
    throw new RangeError(`an overlay of ${sizeBytes} bytes: 4 TiB are the most`)
  const image = Buffer.alloc(4 * CLUSTER_BYTES)
  image.write('QFI\xfb', 0, 'latin1')
  image.writeUInt32BE(3, 4) // version
  image.writeUInt32BE(CLUSTER_BITS, 20)
  image.writeBigUInt64BE(BigInt(sizeBytes), 24)
  image.writeUInt32BE(Math.ceil(sizeBytes / BYTES_PER_TABLE), 36) // l1_size
  image.writeBigUInt64BE(BigInt(3 * CLUSTER_BYTES), 40) // l1_table_offset
  image.writeBigUInt64BE(BigInt(CLUSTER_BYTES), 48) // refcount_table_offset
  image.writeUInt32BE(1, 56) // refcount_table_clusters
  image.writeUInt32BE(4, 96) // refcount_order: 16 bits
  image.writeUInt32BE(104, 100) // header_length
  image.writeBigUInt64BE(BigInt(2 * CLUSTER_BYTES), CLUSTER_BYTES)
  for (let cluster = 0; cluster < 4; cluster++) image.writeUInt16BE(1, 2 * CLUSTER_BYTES + 2 * cluster)
  return image
}

/**
 * The size of the disk in an image, in bytes.
 *
 * @throws {@link VmError} the file cannot be read, or is not a qcow2 image
 */
export function imageSize(file: string, format: 'raw' | 'qcow2'): number {
  try {
    if (format === 'raw') return statSync(file).size
    const head = Buffer.alloc(32)
    const opened = openSync(file, 'r')
    readSync(opened, head, 0, head.length, 0)
    closeSync(opened)
    if (head.toString('latin1', 0, 4) !== 'QFI\xfb') throw new Error(`${file} is not a qcow2 image`)
    return Number(head.readBigUInt64BE(24))
  } catch (cause) {
    throw new VmError(`disk: ${(cause as Error).message}`, '', cause)
  }
}
