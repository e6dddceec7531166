// The life of a machine, recorded write by write: its first boot under firmware, an update, its trial boot and
// blessing, and so on.
import { execFile, execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import type { QemuMachine } from '@pkg/vm/qemu'
import type { ApplianceConfig } from '../../src/config.ts'
import { createRelease } from '../../src/release.ts'
import { type BuiltRelease, buildRelease, judgeOptions, updatableConfig } from './appliance.ts'
import { recordInstalls } from './guest-recording.ts'
import { Judge, type JudgeOptions, type KnownRelease } from './judge.ts'
import { BOOT_MS, RecordedMachine } from './recording.ts'
import type { Past, Phase } from './survey.ts'
import { DataJudge } from './user-files.ts'

/** Options of {@link recordLife}. */
export interface LifeOptions {
  /** For builds, layouts and temporary files; made when it is not there. */
  readonly folder: string
  /** How many updates. */
  readonly updates: number
  /** Told of each step. */
  readonly onStep?: (step: string) => void
  /** Ends it early; it rejects with the signal's reason, or with what the end of a machine has broken. */
  readonly signal?: AbortSignal
}

/** A machine's past. */
export interface Life extends AsyncDisposable {
  readonly past: Past
  /** What its judge was made with. */
  readonly judgeOptions: JudgeOptions
  /** Path of the firmware's variables as they were in a phase, by its name. */
  readonly variables: ReadonlyMap<string, string>
}

/** The disk of a machine is larger than the image: the data partition grows at the first boot. */
const GROWTH_BYTES: number = 48 << 20

/** Of the files that differ from release to release: large enough to be written in many pieces. */
const NOISE_BYTES: number = 2 << 20
const NOISE_FILES = 3

/** Records one. */
export async function recordLife(options: LifeOptions): Promise<Life> {
  const { folder, updates, signal } = options
  const onStep = (step: string): void => {
    signal?.throwIfAborted()
    options.onStep?.(step)
  }
  mkdirSync(folder, { recursive: true })
  const key = makeKey(folder, 'owner')
  const configOf = (counter: number): ApplianceConfig => updatableConfig(counter, publicKeyOf(key))
  const first = await makeRelease({ folder, config: configOf(1), keys: [key], onStep })
  const releases: [BuiltRelease, ...BuiltRelease[]] = [first]
  for (let counter = 2; counter <= updates + 1; counter += 1)
    releases.push(await makeRelease({ folder, config: configOf(counter), keys: [key], onStep }))
  const image = first.build.disk ?? ''
  const sizeBytes = (first.build.manifest.disk?.sizeBytes ?? 0) + GROWTH_BYTES
  await using stack = new AsyncDisposableStack()
  const machine = stack.use(await RecordedMachine.make({ folder, base: image, sizeBytes, signal }))
  const story = new Story({ folder, machine, key, onStep, signal })
  const [, second, ...later] = releases
  // The whole way once; afterwards by the engine alone, which takes half the time.
  await story.begin(second?.known)
  for (const [index, { known }] of later.entries()) {
    const slot = index % 2 === 0 ? 'a' : 'b'
    await story.install(known, slot)
    await story.boot(`trial of ${known.counter}`, slot)
  }
  const known = judgeOptions(releases)
  const { phases, installed, variables } = story
  const [judge, data] = [new Judge(known), new DataJudge(folder)]
  const past = { log: machine.disk.log, judge, data, kept: machine.kept, installed, phases }
  const kept = stack.move()
  return { past, judgeOptions: known, variables, [Symbol.asyncDispose]: () => kept.disposeAsync() }
}

/** What {@link makeRelease} makes. */
export interface ReleaseWishes {
  /** For the build, and for the layout in its folder `layouts`. */
  readonly folder: string
  readonly config: ApplianceConfig
  /** Who signs it. Default: nobody. */
  readonly keys?: readonly string[]
  readonly onStep: (step: string) => void
}

/** Builds a release with files that no other has, and lays it out. */
export async function makeRelease({
  folder,
  config,
  keys = [],
  onStep,
}: ReleaseWishes): Promise<BuiltRelease> {
  const counter = String(config.release)
  onStep(`building release ${counter}`)
  const place = join(folder, `release-${counter}`)
  mkdirSync(place, { recursive: true })
  const files = Array.from({ length: NOISE_FILES }, (_, index) => {
    const from = join(place, `noise-${index}`)
    writeFileSync(from, randomBytes(NOISE_BYTES))
    return { from, to: `/usr/share/noise-${index}` }
  })
  const built = await buildRelease(folder, { ...config, files })
  const out = join(folder, 'layouts', counter)
  const { documents } = await createRelease(built.build.folder, { out, keys, level: 1, replace: true })
  writeFileSync(join(out, 'manifest.json'), documents.manifest)
  return built
}

/** Makes an SSH key, and returns its path. */
export function makeKey(folder: string, name: string): string {
  const file = join(folder, name)
  execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-C', name, '-f', file])
  return file
}

/** The line of a key's .pub file. */
export function publicKeyOf(key: string): string {
  return readFileSync(`${key}.pub`, 'utf8').trim()
}

const run = promisify(execFile)
const SOLO = fileURLToPath(new URL('../../src/solo.ts', import.meta.url))

/** The device compares, writes and reads back more than a hundred megabytes, without KVM. */
const UPDATE_MS = 600_000

/** Waits until the slot is blessed and its service has kept its files. */
async function untilBlessed(vm: QemuMachine, slot: 'a' | 'b', from: number): Promise<void> {
  await vm.console.waitFor(/(?:kept \d+[^]*){4}/, { from, timeoutMs: BOOT_MS })
  await vm.console.waitFor(new RegExp(`boot blessed: solo${slot}\\+`), { from, timeoutMs: BOOT_MS })
}

/** What a story needs. */
interface StoryTools {
  readonly folder: string
  readonly machine: RecordedMachine
  /** Path of the key of the machine's owner. */
  readonly key: string
  readonly onStep: (step: string) => void
  readonly signal: AbortSignal | undefined
}

/** What is done with a machine, one after another. */
class Story {
  readonly phases: Phase[] = []
  readonly installed = new Map<string, number>()
  readonly variables = new Map<string, string>()
  readonly #tools: StoryTools

  constructor(tools: StoryTools) {
    this.#tools = tools
  }

  /** Boots by firmware until the slot is blessed and its service has kept its files. */
  async boot(name: string, slot: 'a' | 'b'): Promise<void> {
    this.#enter(name)
    const { machine } = this.#tools
    await machine.boot(name, (vm) => untilBlessed(vm, slot, 0))
  }

  /** Boots by firmware for the first time; pushes a release to the running machine as a user does, and lets it try it. */
  async begin(release: KnownRelease | undefined): Promise<void> {
    const name = 'first boot'
    this.#enter(name)
    await this.#tools.machine.boot(name, async (vm) => {
      await untilBlessed(vm, 'a', 0)
      if (release !== undefined) await this.#update(vm, release)
    })
  }

  async #update(vm: QemuMachine, { counter }: KnownRelease): Promise<void> {
    const { machine, folder } = this.#tools
    const [, fingerprint = ''] = await vm.console.waitFor(/certificate SHA-256 ([0-9A-F:]{95})/, {
      timeoutMs: BOOT_MS,
    })
    const device = `127.0.0.1:${vm.forwards[0]?.hostPort}`
    await this.#solo('status', device, '--fingerprint', fingerprint)
    const name = `update to ${counter}`
    this.#enter(name)
    machine.disk.mark(name)
    await this.#solo('update', device, join(folder, 'layouts', String(counter)))
    this.installed.set(`${name}: installed`, counter)
    machine.disk.mark(`${name}: installed`)
    const from = vm.console.text.length
    this.#enter(`trial of ${counter}`)
    machine.disk.mark(`trial of ${counter}`)
    await this.#solo('reboot', device)
    await untilBlessed(vm, 'b', from)
  }

  /** Runs the command for whom the device knows. */
  async #solo(...args: string[]): Promise<void> {
    const { folder, key, signal } = this.#tools
    const env = { ...process.env, SOLO_KEY: key, SOLO_DEVICES: join(folder, 'devices.json') }
    await run(process.execPath, [SOLO, ...args], { env, timeout: UPDATE_MS, signal })
  }

  /** Installs a release in a guest that has nothing but the engine. */
  async install({ counter }: KnownRelease, slot: 'a' | 'b'): Promise<void> {
    const { disk } = this.#tools.machine
    const name = `installation of ${counter}`
    this.#enter(name)
    disk.mark(name)
    this.installed.set(`${name}: installed`, counter)
    const installs = [{ name, release: String(counter), slot }]
    const { folder, signal } = this.#tools
    await recordInstalls(join(folder, 'layouts'), [{ disk, installs }], signal)
  }

  #enter(name: string): void {
    const { folder, machine, onStep } = this.#tools
    onStep(name)
    const last = this.phases.pop()
    if (last !== undefined) this.phases.push({ ...last, to: name })
    this.phases.push({ name, from: name })
    const path = join(folder, `variables-${this.phases.length}.fd`)
    machine.copyVariables(path)
    this.variables.set(name, path)
  }
}

/** A copy of a phase's variables at `path`, for a machine that may change them. */
export function copyVariables({ variables }: Life, phase: string, path: string): void {
  copyFileSync(variables.get(phase) ?? '', path)
}
