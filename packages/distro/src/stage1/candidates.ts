// Block devices, one after the other, whatever they are called: virtio's vda2, NVMe's nvme0n1p2, SATA's and USB's
// sda2, MMC's mmcblk0p2, and those that nobody thought of.
import { AT_FDCWD, O_CLOEXEC, O_RDONLY, SEEK_SET } from '@pkg/sys/constants'
import type { Address, Label, Memory, Program, Step, Word } from '@pkg/sys/program'
import type { Report } from './report.ts'

/** Offset of the name in `struct linux_dirent64` (getdents64(2)). */
const nameOffset = 19

/**
 * Room for one directory entry, never for two: then each call of getdents64(2) gives one, at a known place. The
 * smallest has 24 bytes; a name may have 20 characters, and block devices have fewer.
 */
const entrySizeBytes = 40

/** Where an EROFS superblock lies, and its uuid in it (include/linux/erofs_fs.h, `struct erofs_super_block`). */
const superblockOffset = 1024
const uuidOffset = 48
const uuidSizeBytes = 16

/** The first entry of a GPT is behind its header, and the GUID of its partition 16 bytes in (UEFI specification, 5.3.3). */
const firstEntryOffset = 1024
const entryGuidOffset = 16

/** No descriptor has it: closing it does nothing. */
const NO_DESCRIPTOR = -1

/** How much is read of each device: it begins where a superblock would lie, or the first entry of a partition table. */
const headOffset = superblockOffset
const headSizeBytes = uuidOffset + uuidSizeBytes

/** The devices of the machine, and those that carry the uuid of a root image. */
export class Candidates {
  /** The NUL-terminated name of the device that is being looked at. */
  readonly name: Address
  readonly #program: Program
  readonly #entry: Memory
  /** Of all devices. */
  readonly #everywhere: Step
  readonly #devices: Step
  /** The begin of the device, from {@link headOffset} on. */
  readonly #head: Memory
  /** Descriptor of the folder whose devices are looked at. */
  readonly #folder: Memory
  /** Descriptor of the disk's folder, or of none. */
  readonly #disk: Memory

  constructor(program: Program, report: Report) {
    this.#program = program
    this.#entry = program.memory(entrySizeBytes)
    this.name = this.#entry.at(nameOffset)
    this.#head = program.memory(headSizeBytes)
    this.#folder = program.memory(8)
    this.#disk = program.words([NO_DESCRIPTOR])
    const flags = O_RDONLY | O_CLOEXEC
    this.#everywhere = report.must('open /sys/class/block', 'openat', AT_FDCWD, '/sys/class/block', flags)
    this.#devices = report.must('open /dev', 'openat', AT_FDCWD, '/dev', flags)
    this.lookEverywhere()
  }

  /**
   * Goes through all devices that there are now, partitions and whole disks; those of one disk after
   * {@link Candidates.lookOnDisk}.
   *
   * @param uuid - 16 bytes
   * @param none - where the program goes on after the last one
   * @param attempt - adds the steps for a device that has the uuid; the label that it is given leads to the next one
   */
  each(uuid: Uint8Array, none: Label, attempt: (next: Label) => void): void {
    this.#each(none, (next) => {
      this.#program.equal(this.#head.at(superblockOffset + uuidOffset - headOffset), uuid).otherwise(next)
      attempt(next)
    })
  }

  /** From now on all devices are looked at. */
  lookEverywhere(): void {
    this.#program.set(this.#folder, this.#everywhere)
  }

  /**
   * From now on only the partitions of one disk are looked at: that whose first partition has this GUID.
   *
   * @param guid - 16 bytes, as in a partition table
   * @param none - where the program goes on when there is no such disk now; then all devices are looked at
   */
  lookOnDisk(guid: Memory, none: Label): void {
    const program = this.#program
    const chosen = program.label('disk chosen')
    program.call('close', this.#disk.word()).ignoreErrors()
    program.set(this.#disk, NO_DESCRIPTOR)
    this.lookEverywhere()
    this.#each(none, (next) => {
      const entryGuid = firstEntryOffset + entryGuidOffset - headOffset
      for (const offset of [0, 8])
        this.#skipUnlessEqual(this.#head.word(entryGuid + offset), guid.word(offset), next)
      const flags = O_RDONLY | O_CLOEXEC
      const disk = program.call('openat', this.#everywhere, this.name, flags).otherwise(next)
      program.set(this.#disk, disk)
      program.set(this.#folder, disk)
      program.jump(chosen)
    })
    program.place(chosen)
  }

  /** There is no question for two words of memory whether they are equal: neither may be less. */
  #skipUnlessEqual(left: Word, right: Word, next: Label): void {
    const program = this.#program
    for (const [less, more] of [
      [left, right],
      [right, left],
    ] as const) {
      const notLess = program.label('not less')
      program.below(less, more).otherwise(notLess)
      program.jump(next)
      program.place(notLess)
    }
  }

  /** Goes through the devices of the folder, with their begins in memory. */
  #each(none: Label, body: (next: Label) => void): void {
    const program = this.#program
    const [next, close] = [program.label('next device'), program.label('close device')]
    const folder = this.#folder.word()
    program.call('lseek', folder, 0, SEEK_SET).otherwise(none)
    program.place(next)
    const size = program.call('getdents64', folder, this.#entry, entrySizeBytes).otherwise(none)
    program.below(0, size).otherwise(none)
    const device = program.call('openat', this.#devices, this.name, O_RDONLY | O_CLOEXEC).otherwise(next)
    const read = program.call('pread64', device, this.#head, headSizeBytes, headOffset).otherwise(close)
    program.call('close', device).ignoreErrors()
    // A small device gives fewer bytes, or none: what lies in memory then is of another one.
    program.below(headSizeBytes - 1, read).otherwise(next)
    body(next)
    program.place(close)
    program.call('close', device).ignoreErrors()
    program.jump(next)
  }
}
