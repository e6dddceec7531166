/** Checks what the caller gave to `startQemu`, and fills in the defaults, before anything is started. */
import { randomBytes } from 'node:crypto'
import { accessSync, constants, statSync } from 'node:fs'
import { VmError } from '../errors.ts'
import type { FailOn } from '../kernel-log.ts'
import type { PrivateNetwork } from '../network.ts'
import { assertKernelFormat } from './kernel-format.ts'
import { defaultMachine, MODELS, type MachineModel } from './models.ts'
import type { DiskOptions, Firmware, Forward, QemuOptions, ShareOptions } from './types.ts'

/** A network card with every default in its place. */
export interface ResolvedCard {
  kind: 'user' | 'private'
  forwards: readonly Forward[]
  network: PrivateNetwork | undefined
  capture: string | undefined
  mac: string | undefined
}

/** {@link QemuOptions} with every default in its place. */
export interface ResolvedOptions {
  model: MachineModel
  kernel: string | undefined
  firmware: Firmware | undefined
  initrd: string | undefined
  append: string
  memoryMiB: number
  cpus: number
  accelerator: 'kvm' | 'tcg' | 'auto'
  onControl: QemuOptions['onControl']
  rootImage: string | undefined
  shares: readonly ShareOptions[]
  disks: readonly DiskOptions[] | undefined
  cards: readonly ResolvedCard[]
  balloon: boolean
  failOn: FailOn
  onReboot: 'end' | 'restart'
  onReset: QemuOptions['onReset']
  onPanic: 'end' | 'ignore'
  gdb: boolean | number | 'wait'
  saveable: boolean
  restore: string | undefined
  timeoutMs: number
  silenceTimeoutMs: number
  consoleLimitChars: number
  onConsole: ((text: string) => void) | undefined
  qemu: string
  qemuArguments: readonly string[]
  signal: AbortSignal | undefined
}

/**
 * Fills in the defaults.
 *
 * @throws TypeError, RangeError a value that can never work; VmError a file that cannot be read
 */
export function resolveOptions(options: QemuOptions): ResolvedOptions {
  const { accelerator = 'auto', onReboot = 'end', onPanic = 'end', shares = [], balloon = false } = options
  const model = resolveModel(options)
  oneOf('accelerator', accelerator, ['auto', 'kvm', 'tcg'])
  oneOf('onReboot', onReboot, ['end', 'restart'])
  oneOf('onPanic', onPanic, ['end', 'ignore'])
  if (options.append?.includes('\0')) throw new TypeError('append: has a NUL character')
  checkFiles(options, model)
  checkShares(shares)
  checkSnapshot(options, balloon)
  return {
    model,
    kernel: options.kernel,
    firmware: options.firmware,
    initrd: options.initrd,
    append: options.append ?? '',
    memoryMiB: whole('memoryMiB', options.memoryMiB ?? 512, 1, 1 << 20),
    cpus: whole('cpus', options.cpus ?? 2, 1, model.maxCpus),
    accelerator,
    onControl: options.onControl,
    rootImage: options.rootImage,
    shares,
    disks: options.disks,
    cards: resolveCards(options),
    balloon,
    failOn: options.failOn ?? {},
    onReboot,
    onReset: options.onReset,
    onPanic,
    gdb: resolveGdb(options.gdb),
    saveable: options.saveable ?? false,
    restore: options.restore,
    timeoutMs: duration('timeoutMs', options.timeoutMs ?? 120_000),
    silenceTimeoutMs: duration('silenceTimeoutMs', options.silenceTimeoutMs ?? Number.POSITIVE_INFINITY),
    consoleLimitChars: whole('consoleLimitChars', options.consoleLimitChars ?? 1 << 20, 1, 1 << 28),
    onConsole: options.onConsole,
    qemu: options.qemu ?? model.program,
    qemuArguments: options.qemuArguments ?? [],
    signal: options.signal,
  }
}

function resolveModel({ machine, architecture }: QemuOptions): MachineModel {
  if (architecture !== undefined) oneOf('architecture', architecture, ['x86_64', 'aarch64'])
  const name = machine ?? defaultMachine(architecture ?? 'x86_64')
  oneOf('machine', name, Object.keys(MODELS))
  const model = MODELS[name]
  if (architecture !== undefined && model.architecture !== architecture)
    throw new TypeError(`machine: ${name} is an ${model.architecture} machine, not ${architecture}`)
  return model
}

function checkFiles(options: QemuOptions, { architecture }: MachineModel): void {
  const { kernel, firmware, initrd, rootImage } = options
  if (firmware !== undefined) {
    const extra = (['kernel', 'initrd', 'append'] as const).find((name) => options[name] !== undefined)
    if (extra !== undefined) throw new TypeError(`${extra}: not with firmware, which finds them on a disk`)
    const advice = 'give that of UEFI for QEMU (Debian: package ovmf)'
    checkFile('firmware.code', firmware.code, advice)
    checkFile('firmware.variables', firmware.variables, 'give the file that came with the code')
  } else {
    const wanted = architecture === 'x86_64' ? 'a bzImage' : 'an arm64 Image'
    // A caller without types may leave both out.
    checkFile('kernel', kernel ?? '', `give the path of ${wanted} (Debian: /boot/vmlinuz-…)`)
    assertKernelFormat(kernel ?? '', architecture)
  }
  if (initrd !== undefined) checkFile('initrd', initrd, 'give the path of a cpio archive')
  if (rootImage !== undefined) checkFile('rootImage', rootImage, 'give the path of a file system image')
}

function checkShares(shares: readonly ShareOptions[]): void {
  const tags = new Set<string>()
  for (const [index, { tag, host }] of shares.entries()) {
    // The tag's field in the device is 32 bytes with its NUL (QEMU hw/9pfs/9p.h, MAX_TAG_LEN).
    if (!/^[\w.-]{1,31}$/.test(tag))
      throw new TypeError(
        `shares[${index}].tag: ${JSON.stringify(tag)} is not 1 to 31 letters, digits, - _ .`,
      )
    if (tags.has(tag)) throw new TypeError(`shares[${index}].tag: ${tag} is there twice`)
    tags.add(tag)
    if (!statOf(`shares[${index}].host`, host).isDirectory())
      throw new VmError(`shares[${index}].host: ${host} is not a folder`)
  }
}

function checkSnapshot({ restore, saveable }: QemuOptions, balloon: boolean): void {
  if (restore === undefined) return
  if (saveable) throw new TypeError('saveable: a restored guest cannot be saved again')
  // QEMU punches a hole into the memory's file for each page the balloon takes: into the snapshot itself.
  if (balloon) throw new TypeError('balloon: a restored guest cannot have one')
}

function resolveCards({ networks = [{ kind: 'user' }] }: QemuOptions): ResolvedCard[] {
  const taken = new Set<string>()
  return networks.map((card, index) => {
    oneOf(`networks[${index}].kind`, card.kind, ['user', 'private'])
    const forwards = card.kind === 'user' ? (card.forwards ?? []) : []
    checkForwards(forwards, `networks[${index}].forwards`, taken)
    const mac = card.mac ?? (card.kind === 'private' ? randomMac() : undefined)
    if (mac !== undefined && !/^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/i.test(mac))
      throw new TypeError(`networks[${index}].mac: ${mac} is not six bytes in hexadecimal, divided by colons`)
    const network = card.kind === 'private' ? card.network : undefined
    return { kind: card.kind, forwards, network, capture: card.capture, mac }
  })
}

/** 52:54:00 is QEMU's own prefix; 24 random bits are enough for a handful of guests. */
function randomMac(): string {
  return ['52', '54', '00', ...(randomBytes(3).toString('hex').match(/../g) ?? [])].join(':')
}

function checkForwards(forwards: readonly Forward[], option: string, taken: Set<string>): void {
  for (const [index, { hostPort, guestPort, protocol = 'tcp' }] of forwards.entries()) {
    whole(`${option}[${index}].hostPort`, hostPort, 0, 65_535)
    whole(`${option}[${index}].guestPort`, guestPort, 1, 65_535)
    oneOf(`${option}[${index}].protocol`, protocol, ['tcp', 'udp'])
    const key = `${protocol} ${hostPort}`
    if (hostPort !== 0 && taken.has(key))
      throw new TypeError(`${option}[${index}].hostPort: ${key} is there twice`)
    taken.add(key)
  }
}

function resolveGdb(gdb: QemuOptions['gdb'] = false): boolean | number | 'wait' {
  return typeof gdb === 'number' ? whole('gdb', gdb, 0, 65_535) : gdb
}

function oneOf(option: string, value: string, known: readonly string[]): void {
  if (!known.includes(value))
    throw new TypeError(
      `${option}: ${String(value)} is not known; ${known.map((word) => `'${word}'`).join(', ')} are`,
    )
}

function checkFile(option: string, path: string, advice: string): void {
  if (!statOf(option, path, advice).isFile()) throw new VmError(`${option}: ${path} is not a file; ${advice}`)
}

function statOf(option: string, path: string, advice: string = ''): ReturnType<typeof statSync> & object {
  if (typeof path !== 'string' || path === '' || path.includes('\0'))
    throw new TypeError(`${option}: ${JSON.stringify(path)} is not a path`)
  try {
    accessSync(path, constants.R_OK)
    return statSync(path)
  } catch (cause) {
    throw new VmError(
      `${option}: ${(cause as Error).message}${advice === '' ? '' : `; ${advice}`}`,
      '',
      cause,
    )
  }
}

function whole(option: string, value: number, min: number, max: number): number {
  if (Number.isInteger(value) && value >= min && value <= max) return value
  throw new RangeError(`${option}: ${String(value)} is not a whole number from ${min} to ${max}`)
}

function duration(option: string, value: number): number {
  if (value === Number.POSITIVE_INFINITY) return value
  // setTimeout takes no more than 2^31 - 1 ms and fires at once beyond it.
  if (Number.isFinite(value) && value > 0 && value < 2 ** 31) return value
  throw new RangeError(`${option}: ${String(value)} is not a time in milliseconds above 0 (24 days at most)`)
}
