/**
 * Boot entries of UEFI firmware: a program on a partition that is found by its GUID, wherever the disk is plugged in.
 *
 * @see https://uefi.org/specs/UEFI/2.10/03_Boot_Manager.html#load-options EFI_LOAD_OPTION
 * @see https://uefi.org/specs/UEFI/2.10/10_Protocols_Device_Path_Protocol.html device paths
 */

/** A GPT partition, as a device path names it. */
export interface EntryPartition {
  /** Its number, from 1. */
  readonly number: number
  /** Its first block. */
  readonly firstLba: number
  /** How many blocks it has. */
  readonly sizeBlocks: number
  /** Its own GUID, as `01234567-89ab-cdef-0123-456789abcdef`. */
  readonly guid: string
}

/** One entry. */
export interface LoadOption {
  /** What menus show. */
  readonly description: string
  /** Where the program is. */
  readonly partition: EntryPartition
  /** Its path there, with backslashes. */
  readonly path: string
}

/** LOAD_OPTION_ACTIVE: to be tried without being asked for. */
const ACTIVE = 1

/** Type and subtype of device path nodes: media, hard drive; media, file path; the end of all. */
const HARD_DRIVE = [0x04, 0x01] as const
const FILE_PATH = [0x04, 0x04] as const
const END = [0x7f, 0xff] as const

/** The partition's format is GPT, and its signature a GUID. */
const GPT_FORMAT = 2
const GUID_SIGNATURE = 2

/** The bytes of a `Boot####` variable. */
export function encodeLoadOption({ description, partition, path }: LoadOption): Uint8Array {
  const devicePath = Buffer.concat([
    hardDriveNode(partition),
    node(FILE_PATH, utf16(path)),
    node(END, Buffer.alloc(0)),
  ])
  const head = Buffer.alloc(6)
  head.writeUInt32LE(ACTIVE, 0)
  head.writeUInt16LE(devicePath.length, 4)
  return Buffer.concat([head, utf16(description), devicePath])
}

/**
 * Whether a variable is this entry, as far as it matters: its description, the partition's GUID and the path. Firmware
 * may write the rest otherwise: attributes, the way to the disk before its partition, data of its own at the end.
 */
export function isLoadOption(value: Uint8Array, { description, partition, path }: LoadOption): boolean {
  const bytes = Buffer.from(value.buffer, value.byteOffset, value.byteLength)
  const title = utf16(description)
  if (bytes.length < 6 || !bytes.subarray(6, 6 + title.length).equals(title)) return false
  const nodes = nodesOf(bytes.subarray(6 + title.length).subarray(0, bytes.readUInt16LE(4)))
  const has = ([type, subtype]: readonly [number, number], isRight: (body: Buffer) => boolean): boolean =>
    nodes.some((each) => each.type === type && each.subtype === subtype && isRight(each.body))
  return (
    has(HARD_DRIVE, (body) => body.subarray(20, 36).equals(guidBytes(partition.guid))) &&
    has(FILE_PATH, (body) => utf16Text(body).toUpperCase() === path.toUpperCase())
  )
}

interface PathNode {
  readonly type: number
  readonly subtype: number
  readonly body: Buffer
}

/** The nodes of a device path, as far as they are whole. */
function nodesOf(devicePath: Buffer): PathNode[] {
  const nodes: PathNode[] = []
  let at = 0
  while (at + 4 <= devicePath.length) {
    const length = devicePath.readUInt16LE(at + 2)
    if (length < 4 || at + length > devicePath.length) break
    const [type = 0, subtype = 0] = devicePath.subarray(at, at + 2)
    nodes.push({ type, subtype, body: devicePath.subarray(at + 4, at + length) })
    at += length
  }
  return nodes
}

function utf16Text(body: Buffer): string {
  return body.toString('utf16le').replace(/\0.*$/s, '')
}

function hardDriveNode({ number, firstLba, sizeBlocks, guid }: EntryPartition): Buffer {
  const body = Buffer.alloc(38)
  body.writeUInt32LE(number, 0)
  body.writeBigUInt64LE(BigInt(firstLba), 4)
  body.writeBigUInt64LE(BigInt(sizeBlocks), 12)
  guidBytes(guid).copy(body, 20)
  body.writeUInt8(GPT_FORMAT, 36)
  body.writeUInt8(GUID_SIGNATURE, 37)
  return node(HARD_DRIVE, body)
}

function node([type, subtype]: readonly [number, number], body: Buffer): Buffer {
  const head = Buffer.from([type, subtype, 0, 0])
  head.writeUInt16LE(head.length + body.length, 2)
  return Buffer.concat([head, body])
}

function utf16(text: string): Buffer {
  return Buffer.from(`${text}\0`, 'utf16le')
}

/** A GUID in its mixed order: the first three groups little-endian, the others as they are written. */
function guidBytes(guid: string): Buffer {
  const [first = '', second = '', third = '', ...rest] = guid.split('-')
  const swapped = [first, second, third].map((group) => Buffer.from(group, 'hex').toReversed())
  return Buffer.concat([...swapped, Buffer.from(rest.join(''), 'hex')])
}
