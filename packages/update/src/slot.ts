/**
 * What an installation writes to: the root partition of the free slot, and the folder of boot entries. Both are
 * interfaces, so that the engine runs as well over disks that are simulated.
 */
import type { RandomAccess } from '@pkg/image/random-access'

/** What is read block by block, a hundred megabytes of it: into memory that is used again. */
export interface BlockReader extends RandomAccess {
  /**
   * Reads `length` bytes from `offset` on; fewer only where the bytes end.
   *
   * @param into - memory that may be used for the result, or not
   */
  read(offset: number, length: number, into?: Uint8Array): Promise<Uint8Array>
}

/** A partition, or a file of fixed size, that is written in blocks. */
export interface SlotTarget extends BlockReader {
  /** What messages call it: its path. */
  readonly name?: string
  /**
   * As `read`, but what the medium has, not what the kernel remembers. What is on its way to the medium may be missing:
   * flush first.
   *
   * @param offset - a multiple of 4096
   * @param into - as for `read`
   */
  readDirect(offset: number, length: number, into?: Uint8Array): Promise<Uint8Array>
  /**
   * Writes all of `bytes`, which may be changed again when it has resolved. On the medium only after {@link flush}.
   *
   * @param offset - a multiple of 4096
   */
  write(offset: number, bytes: Uint8Array): Promise<void>
  /** Resolves when everything that was written is on the medium, and not in a cache of its own. */
  flush(): Promise<void>
}

/** A file of the boot partition, open for writing. */
export interface BootFile extends SlotTarget, AsyncDisposable {
  /** Cuts the file, or makes it longer by zeros. */
  resize(sizeBytes: number): Promise<void>
}

/** A file of the boot partition, open for reading. */
export interface BootFileReader extends BlockReader, AsyncDisposable {}

/** A file of the boot partition in a list. */
export interface BootFileEntry {
  /** Its name in the folder. */
  readonly name: string
  /** How many bytes it has. */
  readonly sizeBytes: number
}

/** The folder of boot entries, `/EFI/Linux` of the boot partition. Nothing else writes there meanwhile. */
export interface BootPartition {
  /** The files of the folder. */
  list(): Promise<BootFileEntry[]>
  /** How many bytes more the partition can hold. */
  freeBytes(): Promise<number>
  /** Opens a file to read it. */
  read(name: string): Promise<BootFileReader>
  /** Opens a file to write in it; it is made, empty, when it is not there. */
  write(name: string): Promise<BootFile>
  /** Takes a file away. */
  remove(name: string): Promise<void>
  /** Gives a file another name; no file has that name. */
  rename(from: string, to: string): Promise<void>
  /** Resolves when names, tables and files are on the medium, and not in a cache of its own. */
  sync(): Promise<void>
}
