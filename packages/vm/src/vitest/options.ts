/** What machine test files run in: options of the pool, and what a file says of its own. */
import { checkOptions } from '../boot/check.ts'
import type { BootOptions } from '../boot/options.ts'

/** Options of `boot` that can be written down in a test file. */
type Bootable = Pick<
  BootOptions,
  | 'backend'
  | 'needs'
  | 'architecture'
  | 'machine'
  | 'kernel'
  | 'append'
  | 'memoryMiB'
  | 'cpus'
  | 'modules'
  | 'disks'
  | 'networks'
  | 'shares'
  | 'accelerator'
  | 'qemuArguments'
  | 'timeoutMs'
  | 'hangTimeoutMs'
>

/**
 * The machine that test files run in. Tests find its disks by the environment: the path of `disks[0]` is in
 * `SOLO_DISK0`, or, with the name `my-data`, in `SOLO_MY_DATA`.
 */
export interface MachineDefinition extends Bootable {
  /**
   * What the tests run as: a process of root's (default), or the guest's PID 1 itself, which needs a guest for each
   * file. What child programs write that inherit PID 1's output goes to the guest's console: see `onConsole`.
   */
  readonly runAs?: 'root' | 'pid1'
  /**
   * Whether each file gets a fresh guest (default), or one in which files that asked for the same machine have run
   * before. No two files are in it at once: there are as many as there are workers (`maxWorkers`).
   */
  readonly guest?: 'per-file' | 'shared'
  /**
   * What becomes of a file whose machine cannot be had here: it fails with the `UnsupportedError` (default), or its
   * tests are skipped, each with the reason as its note.
   */
  readonly unsupported?: 'fail' | 'skip'
  /**
   * Restores the guest from one that was saved when it had booted and loaded vitest's worker, which is done once for
   * equal machines. QEMU only: with the pool's `snapshot: true`, files that ask for another backend are booted.
   * Nobody reads what child programs write that inherit such a worker's output: use pipes. Default: no.
   */
  readonly snapshot?: boolean
  /**
   * How long a test may block its process, in milliseconds, before it counts as hung and is killed. Default 60,000.
   * Tests that wait without blocking are vitest's `testTimeout`'s affair.
   */
  readonly blockedTimeoutMs?: number
}

/** Options of `guestPool`. */
export interface GuestPoolOptions extends MachineDefinition {
  /**
   * Shows the project's folder at the same path in the guest: for tests that read fixtures. What the guest changes there
   * stays in its memory. Default: no.
   */
  readonly shareProject?: boolean
  /** Called with each piece of a guest's console. */
  readonly onConsole?: (text: string) => void
}

/** Every option, so that one that is misspelt is found. */
const KNOWN: Readonly<Record<keyof MachineDefinition, true>> = {
  accelerator: true,
  append: true,
  architecture: true,
  backend: true,
  blockedTimeoutMs: true,
  cpus: true,
  disks: true,
  guest: true,
  hangTimeoutMs: true,
  kernel: true,
  machine: true,
  memoryMiB: true,
  modules: true,
  needs: true,
  networks: true,
  qemuArguments: true,
  runAs: true,
  shares: true,
  snapshot: true,
  timeoutMs: true,
  unsupported: true,
}

/**
 * The machine of a file: what the pool's options say, then what the file says. Checks both.
 *
 * @throws TypeError, RangeError whose message begins with the option's name
 */
export function machineOfFile(options: GuestPoolOptions, own: unknown): MachineDefinition {
  if (own !== undefined && (typeof own !== 'object' || own === null))
    throw new TypeError(`machine: expected an object of defineMachine, got ${JSON.stringify(own)}`)
  const { shareProject: _share, onConsole: _console, ...shared } = options
  const wish: MachineDefinition = own ?? {}
  const machine: MachineDefinition = { ...shared, ...wish }
  for (const name of Object.keys(machine)) if (!Object.hasOwn(KNOWN, name)) throw unknown(name)
  oneOf('runAs', machine.runAs, ['root', 'pid1'])
  oneOf('guest', machine.guest, ['per-file', 'shared'])
  oneOf('unsupported', machine.unsupported, ['fail', 'skip'])
  checkOptions(machine)
  if (machine.runAs === 'pid1' && machine.guest === 'shared')
    throw new TypeError(
      "runAs 'pid1' needs guest 'per-file': PID 1 lives as long as its guest, files need a fresh one",
    )
  const { blockedTimeoutMs = 1 } = machine
  if (!(blockedTimeoutMs > 0)) throw new RangeError(`blockedTimeoutMs: ${blockedTimeoutMs} is not above 0`)
  const isElsewhere = wish.backend !== undefined && wish.backend !== 'qemu' && wish.backend !== 'auto'
  return isElsewhere && wish.snapshot === undefined ? { ...machine, snapshot: false } : machine
}

function unknown(name: string): TypeError {
  const meant = Object.keys(KNOWN).find((each) => each.toLowerCase() === name.toLowerCase())
  const hint =
    meant === undefined ? `the options are ${Object.keys(KNOWN).join(', ')}` : `did you mean ${meant}?`
  return new TypeError(`${name}: there is no such option; ${hint}`)
}

function oneOf(name: string, value: unknown, words: readonly string[]): void {
  if (value !== undefined && !words.includes(value as string))
    throw new TypeError(`${name}: ${JSON.stringify(value)} is none of ${words.join(', ')}`)
}
