// dm-verity by ioctls of the device mapper: a device whose every block is checked when it is read.
import { verityTable } from '@pkg/image/verity'
import {
  AT_FDCWD,
  DM_DEV_CREATE,
  DM_DEV_REMOVE,
  DM_DEV_SUSPEND,
  DM_READONLY_FLAG,
  DM_TABLE_LOAD,
  O_CLOEXEC,
  O_RDWR,
  S_IFBLK,
} from '@pkg/sys/constants'
import type { Address, Memory, Program, Step, Text } from '@pkg/sys/program'
import { dm_ioctl, dm_target_spec } from '@pkg/sys/structs'
import type { Stage1Verity } from './options.ts'
import type { Report } from './report.ts'

/** The mapped device, as libdevmapper would call it. */
export const rootDevice = '/dev/mapper/root'

/** Blocks of 4 KiB, in the sectors of the device mapper. */
const sectorsPerBlock = 8

/** Stands for the path of the device in the table's text. */
const DEVICE = 'DEVICE'

/** Version 4.0.0 of the interface; the kernel accepts every later minor one of its own. */
const interfaceVersion = 4

const header = dm_ioctl.fields
const target = dm_target_spec.fields
/** Where the parameters lie: behind the header and one target. */
const parametersOffset = dm_ioctl.size + dm_target_spec.size

/** Opens and closes the device. */
export class VerityDevice {
  readonly #program: Program
  readonly #control: Step
  /** `struct dm_ioctl`, `struct dm_target_spec` and the parameters: what every call is handed. */
  readonly #io: Memory
  readonly #parameters: Text
  /** The parameters' text, between which the device's name goes. */
  readonly #pieces: readonly string[]

  constructor(program: Program, report: Report, verity: Stage1Verity) {
    this.#program = program
    this.#pieces = tableText(verity).split(DEVICE)
    // The name of a device has at most 20 characters, and stands there twice. The kernel wants room for a NUL.
    const sizeBytes = parametersOffset + this.#pieces.join('').length + 2 * 24 + 8
    this.#io = program.memory(firstContent(sizeBytes, verity.dataBlocks))
    this.#parameters = program.text(this.#io, parametersOffset)
    const flags = O_RDWR | O_CLOEXEC
    this.#control = report.must('open /dev/mapper/control', 'openat', AT_FDCWD, '/dev/mapper/control', flags)
  }

  /**
   * Makes the device above `/dev/NAME`.
   *
   * @param attempt - adds a step that can fail; the words say what it does
   */
  open(name: Address, attempt: (doing: string, add: () => Step) => void): void {
    const program = this.#program
    program.clear(this.#parameters)
    for (const [index, piece] of this.#pieces.entries()) {
      if (index > 0) program.append(this.#parameters, '/dev/', name)
      program.append(this.#parameters, piece)
    }
    attempt('create a mapped device', () => this.#ioctl(DM_DEV_CREATE))
    // The number comes back; nobody else makes a node by the device's name.
    const device = this.#io.word(header.dev[1])
    program.call('mknodat', AT_FDCWD, rootDevice, S_IFBLK | 0o600, device).ignoreErrors()
    attempt('open dm-verity', () => this.#ioctl(DM_TABLE_LOAD, DM_READONLY_FLAG, 1))
    // Without a flag "suspend" resumes: the table that was loaded comes into force.
    attempt('resume dm-verity', () => this.#ioctl(DM_DEV_SUSPEND))
  }

  /** Takes the device away again, as far as it was made. */
  close(): void {
    this.#program.call('unlinkat', AT_FDCWD, rootDevice, 0).ignoreErrors()
    this.#ioctl(DM_DEV_REMOVE).ignoreErrors()
  }

  /** The kernel writes its answer over the header, and refuses what it wrote there as a question. */
  #ioctl(request: number, flags = 0, targetCount = 0): Step {
    const program = this.#program
    const high = 2 ** 32
    // Two fields of 32 bits each: the patch version and data_size, data_start and target_count, open_count and flags.
    program.set(this.#io.at(header.data_size[1] - 4), this.#io.sizeBytes * high)
    program.set(this.#io.at(header.data_start[1]), dm_ioctl.size + targetCount * high)
    program.set(this.#io.at(header.open_count[1]), flags * high)
    program.set(this.#io.at(header.dev[1]), 0)
    return program.call('ioctl', this.#control, request, this.#io)
  }
}

function tableText({ rootHash, salt, dataBlocks, hashStartBlock }: Stage1Verity): string {
  const parameters = { rootHash, salt: Uint8Array.from(Buffer.from(salt, 'hex')), dataBlocks }
  return verityTable(parameters, { dataDevice: DEVICE, hashDevice: DEVICE, hashStartBlock })
}

function firstContent(sizeBytes: number, dataBlocks: number): Uint8Array {
  const content = new Uint8Array(Math.ceil(sizeBytes / 8) * 8)
  const view = new DataView(content.buffer)
  const encoder = new TextEncoder()
  view.setUint32(header.version[1], interfaceVersion, true)
  content.set(encoder.encode('root'), header.name[1])
  view.setBigUint64(dm_ioctl.size + target.length[1], BigInt(dataBlocks * sectorsPerBlock), true)
  // Where the next target would be: behind the parameters, aligned.
  view.setUint32(dm_ioctl.size + target.next[1], content.length - dm_ioctl.size, true)
  content.set(encoder.encode('verity'), dm_ioctl.size + target.target_type[1])
  return content
}
