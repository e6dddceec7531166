/** Checks what the caller gave to `boot`, and fills in the defaults, before anything is started. */
import { accessSync, constants, statSync } from 'node:fs'
import { VmError } from '../errors.ts'
import type { BootOptions, Forward } from './types.ts'

/** {@link BootOptions} with every default in its place. */
export interface ResolvedOptions {
  kernel: string
  initrd: string | undefined
  append: string
  memoryMiB: number
  cpus: number
  accelerator: 'kvm' | 'tcg' | 'auto'
  network: 'user' | 'none'
  forwards: readonly Forward[]
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
export function resolveOptions(options: BootOptions): ResolvedOptions {
  const { machine = 'q35', network = 'user', accelerator = 'auto', forwards = [] } = options
  if (machine !== 'q35') throw new TypeError(`machine: ${String(machine)} is not known; 'q35' is`)
  if (!['user', 'none'].includes(network))
    throw new TypeError(`network: ${String(network)} is not 'user' or 'none'`)
  if (!['auto', 'kvm', 'tcg'].includes(accelerator))
    throw new TypeError(`accelerator: ${String(accelerator)} is not 'auto', 'kvm' or 'tcg'`)
  if (options.append?.includes('\0')) throw new TypeError('append: has a NUL character')
  checkForwards(forwards, network)
  checkFile('kernel', options.kernel, 'give the path of a bzImage (Debian: /boot/vmlinuz-…)')
  if (options.initrd !== undefined) checkFile('initrd', options.initrd, 'give the path of a cpio archive')
  return {
    kernel: options.kernel,
    initrd: options.initrd,
    append: options.append ?? '',
    memoryMiB: whole('memoryMiB', options.memoryMiB ?? 512, 1, 1 << 20),
    // 255: the most that q35 takes without an interrupt remapper (QEMU hw/i386/pc_q35.c, max_cpus 288).
    cpus: whole('cpus', options.cpus ?? 2, 1, 255),
    accelerator,
    network,
    forwards,
    timeoutMs: duration('timeoutMs', options.timeoutMs ?? 120_000),
    silenceTimeoutMs: duration('silenceTimeoutMs', options.silenceTimeoutMs ?? Number.POSITIVE_INFINITY),
    consoleLimitChars: whole('consoleLimitChars', options.consoleLimitChars ?? 1 << 20, 1, 1 << 28),
    onConsole: options.onConsole,
    qemu: options.qemu ?? 'qemu-system-x86_64',
    qemuArguments: options.qemuArguments ?? [],
    signal: options.signal,
  }
}

function checkForwards(forwards: readonly Forward[], network: string): void {
  if (forwards.length > 0 && network !== 'user') throw new TypeError("forwards: need network: 'user'")
  const taken = new Set<number>()
  for (const [index, { hostPort, guestPort }] of forwards.entries()) {
    whole(`forwards[${index}].hostPort`, hostPort, 0, 65_535)
    whole(`forwards[${index}].guestPort`, guestPort, 1, 65_535)
    if (hostPort !== 0 && taken.has(hostPort))
      throw new TypeError(`forwards[${index}].hostPort: ${hostPort} is there twice`)
    taken.add(hostPort)
  }
}

function checkFile(option: string, path: string, advice: string): void {
  if (typeof path !== 'string' || path === '' || path.includes('\0'))
    throw new TypeError(`${option}: ${JSON.stringify(path)} is not a path`)
  try {
    accessSync(path, constants.R_OK)
  } catch (cause) {
    throw new VmError(`${option}: ${(cause as Error).message}; ${advice}`, '', cause)
  }
  if (!statSync(path).isFile()) throw new VmError(`${option}: ${path} is not a file; ${advice}`)
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
