/** Refuses options that no backend could ever follow, before anything is started. */
import { isAbsolute } from 'node:path'
import type { Backend } from '../machine.ts'
import { checkDurations } from '../limits/duration.ts'
import { checkDisk } from '../qemu/disks.ts'
import { closeWord } from './close-word.ts'
import type { BootOptions, Share } from './options.ts'
import { NEED_WORDS } from './support.ts'

const BACKENDS = ['auto', 'namespace', 'uml', 'qemu']

/** Every option; a name that is missing here does not compile. */
const OPTIONS: Readonly<Record<keyof BootOptions, true>> = {
  accelerator: true,
  append: true,
  architecture: true,
  backend: true,
  balloon: true,
  consoleLimitChars: true,
  cpus: true,
  disks: true,
  endMark: true,
  gdb: true,
  hangTimeoutMs: true,
  init: true,
  initrd: true,
  kernel: true,
  machine: true,
  memoryMiB: true,
  modules: true,
  needs: true,
  networks: true,
  onConsole: true,
  onGdb: true,
  onProgress: true,
  qemuArguments: true,
  root: true,
  shares: true,
  signal: true,
  silenceTimeoutMs: true,
  snapshot: true,
  timeoutMs: true,
}

/**
 * Checks what can be checked without a look at the machine.
 *
 * @throws TypeError, RangeError naming the option, what it is and what is expected
 */
export function checkOptions(options: BootOptions): void {
  const { backend = 'auto', needs = [], shares = [], init, initrd, endMark, snapshot = false } = options
  if (!BACKENDS.includes(backend))
    throw new TypeError(`backend: ${String(backend)} is not ${oneOf(BACKENDS)}`)
  checkNeeds(needs)
  const hasAgent = init === undefined && initrd === undefined
  if (init !== undefined && initrd !== undefined) throw new TypeError('init: an initrd brings its own init')
  if (init !== undefined && !isAbsolute(init[0]))
    throw new TypeError(`init: ${init[0]} is not an absolute path`)
  if (hasAgent && endMark !== undefined) throw new TypeError('endMark: the agent says its end mark by itself')
  if (!hasAgent && snapshot !== false)
    throw new TypeError('snapshot: needs the agent, which init and initrd replace')
  // Each would have the address that was saved.
  if (snapshot !== false && options.networks?.some(({ kind }) => kind === 'private'))
    throw new TypeError('snapshot: guests on a private network need addresses of their own: boot them anew')
  if (initrd !== undefined && (options.kernel === undefined || !('image' in options.kernel)))
    throw new TypeError("initrd: needs kernel: { image: 'path' } to go with it")
  if (options.gdb === 'wait' && options.onGdb === undefined)
    throw new TypeError("gdb: 'wait' needs onGdb: nobody would know where to attach before the guest runs")
  for (const [index, share] of shares.entries()) checkShare(`shares[${index}]`, share)
  checkDurations(options, ['timeoutMs', 'silenceTimeoutMs', 'hangTimeoutMs'])
  checkWhole('memoryMiB', options.memoryMiB, 1 << 20)
  checkWhole('cpus', options.cpus, 1024)
  diskNames(options.disks)
  if (snapshot !== false && options.balloon === true)
    throw new TypeError('balloon: not with a snapshot, into which it would punch holes')
}

/** Checks what `objectionsTo` is asked. @throws TypeError a word that is not known */
export function checkQuestion(backend: Backend, options: BootOptions): void {
  const known = BACKENDS.filter((each) => each !== 'auto')
  if (!known.includes(backend)) throw new TypeError(`backend: ${String(backend)} is not ${oneOf(known)}`)
  checkNeeds(options.needs ?? [])
}

/** The names of disks, as given or of ours. @throws TypeError, RangeError a disk that no backend can have */
export function diskNames(disks: BootOptions['disks'] = []): string[] {
  const names: string[] = []
  for (const [index, disk] of disks.entries()) names.push(checkDisk(disk, names, `disks[${index}]`).name)
  return names
}

/**
 * Checks that there are such options. Not a part of {@link checkOptions}, which others ask about options with more of
 * their own.
 *
 * @throws TypeError naming the option
 */
export function checkNames(options: BootOptions): void {
  const known = Object.keys(OPTIONS)
  for (const name of Object.keys(options)) {
    if (known.includes(name)) continue
    const close = closeWord(name, known)
    throw new TypeError(`${name}: is no option${close === undefined ? '' : `; did you mean ${close}?`}`)
  }
}

function checkNeeds(needs: readonly string[]): void {
  for (const need of needs)
    if (!NEED_WORDS.includes(need)) throw new TypeError(`needs: ${String(need)} is not ${oneOf(NEED_WORDS)}`)
}

function checkWhole(option: string, value: number | undefined, max: number): void {
  if (value !== undefined && !(Number.isInteger(value) && value >= 1 && value <= max))
    throw new RangeError(`${option}: ${String(value)} is not a whole number from 1 to ${max}`)
}

function checkShare(name: string, { host, guest }: Share): void {
  if (!isAbsolute(guest) || guest.split('/').includes('..'))
    throw new TypeError(`${name}.guest: ${guest} is not an absolute path without ..`)
  if (host === '') throw new TypeError(`${name}.host: is empty`)
}

function oneOf(words: readonly string[]): string {
  return `one of ${words.map((word) => `'${word}'`).join(', ')}`
}
