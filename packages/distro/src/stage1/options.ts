// What stage 1 is made from, and what is refused of it.

/** The hash tree of a root image: what `VerityTree` of `@pkg/image/verity` says of itself. */
export interface Stage1Verity {
  /** Digest of the tree's top block: 64 hexadecimal digits. */
  readonly rootHash: string
  /** Hexadecimal; empty for none. */
  readonly salt: string
  /** Blocks of 4 KiB that the tree covers, from the device's begin. */
  readonly dataBlocks: number
  /** The tree's first block on the same device, behind its superblock. */
  readonly hashStartBlock: number
}

/** What stage 1 does. */
export interface Stage1Options {
  /** Modules in the initramfs, absolute paths, in the order in which they are loaded. */
  readonly modules: readonly string[]
  /** The uuid in the superblock of the EROFS image that is to be the root. */
  readonly rootImageId: string
  /** Its hash tree: an image with the same id and other contents is not opened. */
  readonly verity: Stage1Verity
  /** PID 1 and its arguments, in the root. Nothing of the kernel's command line is added. */
  readonly init: readonly [program: string, ...args: string[]]
  /** All of PID 1's environment but `SOLO_WATCHDOG_FD`, which is there when a watchdog was armed. */
  readonly environment: Readonly<Record<string, string>>
  /** How long the root is looked for, from when the modules are loaded. Default 30 s. */
  readonly deadlineMs?: number
  /** How long the machine stays as it is, with its last line on the console, before it reboots. Default 10 s. */
  readonly rebootDelayMs?: number
  /** Arms `/dev/watchdog` with this timeout, where there is one. Default: it is left alone. */
  readonly watchdogSeconds?: number
}

const uuidPattern = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/

/**
 * The 16 bytes of a uuid, in the order in which they are written.
 *
 * @throws TypeError for another text
 */
export function uuidBytes(uuid: string): Uint8Array {
  if (!uuidPattern.test(uuid)) throw new TypeError(`not a uuid in lower case: ${JSON.stringify(uuid)}`)
  return Uint8Array.from(Buffer.from(uuid.replaceAll('-', ''), 'hex'))
}

/** Options of which every time is known. */
export type ResolvedStage1Options = Stage1Options & {
  readonly deadlineMs: number
  readonly rebootDelayMs: number
}

/**
 * Options with their defaults.
 *
 * @throws TypeError or RangeError for options that cannot be; those of dm-verity are checked where they are used
 */
export function resolveOptions(options: Stage1Options): ResolvedStage1Options {
  for (const path of [...options.modules, options.init[0]]) {
    if (!path.startsWith('/')) throw new TypeError(`not an absolute path: ${path}`)
  }
  for (const name of Object.keys(options.environment)) {
    if (name === '' || name.includes('='))
      throw new TypeError(`not a variable's name: ${JSON.stringify(name)}`)
  }
  const { deadlineMs = 30_000, rebootDelayMs = 10_000, watchdogSeconds = 1 } = options
  refuseNegative('deadlineMs', deadlineMs)
  refuseNegative('rebootDelayMs', rebootDelayMs)
  // The kernel's limit of an int; devices have lower ones of their own.
  if (!Number.isInteger(watchdogSeconds) || watchdogSeconds < 1 || watchdogSeconds > 0x7fffffff) {
    throw new RangeError(`watchdogSeconds is ${watchdogSeconds}, expected a whole number from 1`)
  }
  if (!/^([0-9a-f]{2})*$/i.test(options.verity.salt)) throw new TypeError('verity.salt is not hexadecimal')
  return { ...options, deadlineMs, rebootDelayMs }
}

function refuseNegative(name: string, value: number): void {
  if (!Number.isFinite(value) || value < 0) throw new RangeError(`${name} is ${value}, expected 0 or more`)
}
