/** The disks of a running guest: put in, pulled out, slowed down and broken while it is in use. */
import type { QmpClient } from '../qmp.ts'
import { emptyOverlay, imageSize, temporaryFile } from './disk-image.ts'
import {
  faultNode,
  imageNode,
  overlayNode,
  throttleLimits,
  throttleNode,
  type BlockNode,
} from './disk-nodes.ts'
import type { Disk, DiskFault, DiskOptions, DiskThrottle } from './disk-types.ts'

/** A disk with its name; {@link checkDisk} has seen it. */
export interface CheckedDisk extends DiskOptions {
  readonly name: string
}

/**
 * Checks a disk's options, and gives it a name.
 *
 * @param taken - the names that others have
 * @throws TypeError, RangeError a value that can never work
 */
export function checkDisk(options: DiskOptions, taken: readonly string[], option: string): CheckedDisk {
  const free = (index: number): string => (taken.includes(`disk${index}`) ? free(index + 1) : `disk${index}`)
  const name = options.name ?? free(taken.length)
  // 20 is what the serial number of a virtio-blk disk can hold (VIRTIO_BLK_ID_BYTES): the same for every backend.
  if (!/^[A-Za-z0-9_-]{1,20}$/.test(name))
    throw new TypeError(`${option}.name: ${JSON.stringify(name)} is not 1 to 20 letters, digits, - and _`)
  if (taken.includes(name)) throw new TypeError(`${option}.name: ${name} is there twice`)
  const { sizeBytes, file, nbd, format, writable } = options
  if ([sizeBytes, file, nbd].filter((source) => source !== undefined).length !== 1)
    throw new TypeError(`${option}: give one of sizeBytes, file and nbd`)
  if (sizeBytes !== undefined && !(Number.isSafeInteger(sizeBytes) && sizeBytes > 0 && sizeBytes % 512 === 0))
    throw new RangeError(`${option}.sizeBytes: ${sizeBytes} is not a multiple of 512 above 0`)
  if (file === undefined && (format !== undefined || writable !== undefined))
    throw new TypeError(`${option}: format and writable are for a file`)
  checkThrottle(options.throttle ?? {}, `${option}.throttle`)
  return { ...options, name }
}

function checkThrottle(limits: DiskThrottle, option: string): void {
  for (const key of ['iops', 'bytesPerSecond'] as const) {
    const value = limits[key]
    if (value !== undefined && !(Number.isInteger(value) && value > 0))
      throw new RangeError(`${option}.${key}: ${value} is not a whole number above 0`)
  }
}

function checkFaults(faults: readonly DiskFault[], sizeBytes: number): void {
  for (const { on, atByte } of faults) {
    if (!['read', 'write', 'flush'].includes(on)) throw new TypeError(`fail: on: ${String(on)} is not known`)
    if (atByte === undefined) continue
    if (on === 'flush') throw new TypeError('fail: a flush has no atByte')
    if (!(Number.isInteger(atByte) && atByte >= 0 && atByte < sizeBytes && atByte % 512 === 0))
      throw new RangeError(`fail: atByte: ${atByte} is not a multiple of 512 below ${sizeBytes}`)
  }
}

/** A disk on the guest's virtio-scsi controller. Made by {@link openDisk}. */
class ScsiDisk implements Disk {
  readonly name: string
  readonly sizeBytes: number
  readonly #qmp: QmpClient
  readonly #readOnly: boolean
  readonly #lun: number
  #plugged = false
  /** Number of the fault filter on top, if there is one. */
  #fault: string | undefined
  #faultCount = 0

  constructor(qmp: QmpClient, { name, readOnly }: CheckedDisk, place: { sizeBytes: number; lun: number }) {
    const { sizeBytes, lun } = place
    this.#qmp = qmp
    this.#lun = lun
    this.name = name
    this.sizeBytes = sizeBytes
    this.#readOnly = readOnly === true
  }

  get plugged(): boolean {
    return this.#plugged
  }

  get #deviceId(): string {
    return `disk.${this.name}`
  }

  async plug(): Promise<void> {
    if (this.#plugged) return
    await this.#qmp.execute('device_add', {
      driver: 'scsi-hd',
      bus: 'scsi.0',
      // OVMF finds all units of the first target, and none of the second, which is what QEMU would make of each disk.
      'scsi-id': 0,
      lun: this.#lun,
      id: this.#deviceId,
      drive: this.#fault ?? nodeNames(this.name).top,
      serial: this.name,
      device_id: this.name,
      // The guest hears of every failure; QEMU's default stops the machine when the host's disk is full.
      rerror: 'report',
      werror: 'report',
      // A node that cannot be written is refused by a device that could.
      ...(this.#readOnly && { dpofua: false }),
    })
    this.#plugged = true
  }

  async unplug(): Promise<void> {
    if (!this.#plugged) return
    const id = this.#deviceId
    const gone = this.#qmp.nextEvent('DEVICE_DELETED', { where: ({ device }) => device === id })
    await this.#qmp.execute('device_del', { id })
    await gone
    this.#plugged = false
  }

  async throttle(limits: DiskThrottle): Promise<void> {
    checkThrottle(limits, 'throttle')
    const path = `/objects/${nodeNames(this.name).group}`
    await this.#qmp.execute('qom-set', { path, property: 'limits', value: throttleLimits(limits) })
  }

  async fail(faults: readonly DiskFault[]): Promise<void> {
    checkFaults(faults, this.sizeBytes)
    const { top } = nodeNames(this.name)
    const before = this.#fault
    const next = faults.length === 0 ? undefined : `${this.name}-fault${this.#faultCount++}`
    if (next !== undefined)
      await this.#qmp.execute('blockdev-add', { ...faultNode(top, faults), 'node-name': next })
    if (this.#plugged) {
      const path = `/machine/peripheral/${this.#deviceId}`
      await this.#qmp.execute('qom-set', { path, property: 'drive', value: next ?? top })
    }
    this.#fault = next
    if (before !== undefined) await this.#qmp.execute('blockdev-del', { 'node-name': before })
  }
}

/** Node names have at most 31 characters. */
function nodeNames(name: string): { top: string; group: string } {
  return { top: `${name}-disk`, group: `${name}-brake` }
}

/**
 * Opens a disk in QEMU, and puts it in.
 *
 * @param lun - its place on the controller, which no other disk of the guest has; firmware looks at the first eight
 */
export async function openDisk(qmp: QmpClient, options: CheckedDisk, lun: number): Promise<Disk> {
  const { top, group } = nodeNames(options.name)
  await qmp.execute('object-add', {
    'qom-type': 'throttle-group',
    id: group,
    limits: throttleLimits(options.throttle ?? {}),
  })
  const { file, sizeBytes, readOnly = false, writable = false, format = 'raw' } = options
  const overlay = file !== undefined && !writable && !readOnly
  const image = imageNode(options, file ?? '', !readOnly && !overlay)
  const add = (node: BlockNode): Promise<unknown> =>
    qmp.execute('blockdev-add', { ...throttleNode(group, node), 'read-only': readOnly, 'node-name': top })
  if (sizeBytes !== undefined) {
    using empty = temporaryFile(sizeBytes)
    await add(imageNode(options, empty.path, !readOnly))
  } else if (overlay) {
    const content = emptyOverlay(imageSize(file, format))
    using above = temporaryFile(content.length, content)
    await add(overlayNode(above.path, image))
  } else await add(image)
  const disk = new ScsiDisk(qmp, options, { lun, sizeBytes: sizeBytes ?? (await sizeOf(qmp, top)) })
  await disk.plug()
  return disk
}

async function sizeOf(qmp: QmpClient, node: string): Promise<number> {
  const nodes = (await qmp.execute('query-named-block-nodes', { flat: true })) as {
    'node-name': string
    image: { 'virtual-size': number }
  }[]
  return nodes.find((each) => each['node-name'] === node)?.image['virtual-size'] ?? 0
}
