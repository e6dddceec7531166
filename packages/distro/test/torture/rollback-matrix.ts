// Releases that fail on trial, on a real disk under firmware: the machine comes back to the release before by itself,
// says why, has lost no file of its user, and takes the next good release.
import { execFileSync } from 'node:child_process'
import { copyFileSync, mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Rollback } from '@pkg/init/boot-state'
import { rememberingDisk } from '@pkg/vm/nbd'
import { powerOff } from '../../src/run.ts'
import { fixture } from '../support/project.ts'
import { type BuiltRelease, buildRelease, keeperConfig } from './appliance.ts'
import {
  asBuilt,
  type SlotBytes,
  withBadRoot,
  withHangingStage1,
  withoutKernel,
  withThrowingInit,
} from './bad-releases.ts'
import { ImageView } from './disk-view.ts'
import { recordInstalls } from './guest-recording.ts'
import { makeRelease } from './life.ts'
import { BOOT_MS, FOUND, startFirmware } from './recording.ts'

/** A way to fail. */
export interface BadRelease {
  /** What is wrong. */
  readonly name: string
  /** Whether it needs three tries and more, each a boot and a time-out. */
  readonly isLong: boolean
  /** What is told of it afterwards. */
  readonly reason: RegExp
  /** The slot's bytes. */
  slot(bench: Bench): Promise<SlotBytes>
  /** Devices that the machine needs for it. */
  readonly qemuArguments?: readonly string[]
}

/** A program that fails as soon as the release is on trial: as root, by its own command. */
function failing(name: string, code: string): Parameters<typeof keeperConfig>[1] {
  return {
    services: [
      { name: 'keeper', entry: fixture('appliance/keeper.ts') },
      { name, user: 'root', command: ['/bin/bun', '-e', code] },
    ],
  }
}

const UNHEALTHY: Parameters<typeof keeperConfig>[1] = {
  services: [
    { name: 'keeper', entry: fixture('appliance/keeper.ts') },
    {
      ...{ name: 'sick', command: ['/bin/bun', '-e', 'setInterval(() => {}, 1000)'] },
      health: { command: ['/bin/bun', '-e', 'process.exit(1)'], intervalMs: 1000, failures: 2 },
      restartLimit: 1,
    },
  ],
}

/** All of them. */
export const badReleases: readonly BadRelease[] = [
  {
    ...{ name: 'a service fails its health check', isLong: false, reason: /sick: / },
    slot: async (bench) => asBuilt(await bench.variant('unhealthy', UNHEALTHY)),
  },
  {
    ...{ name: 'the kernel image is damaged', isLong: false, reason: /left no word: it could not be loaded/ },
    slot: async (bench) => withoutKernel(await asBuilt(bench.second)),
  },
  {
    ...{ name: 'PID 1 throws at its start', isLong: true, reason: /left no word/ },
    slot: async (bench) => withThrowingInit(await asBuilt(bench.second)),
  },
  {
    ...{
      name: 'the kernel panics',
      isLong: true,
      reason: /did not get as far as its gate in 3 of its tries/,
    },
    slot: async (bench) => {
      const code = 'require("node:fs").writeFileSync("/proc/sysrq-trigger", "c")'
      return asBuilt(await bench.variant('panic', failing('panic', code)))
    },
  },
  {
    ...{ name: 'stage 1 hangs', isLong: true, reason: /left no word/ },
    slot: async (bench) => withHangingStage1(await asBuilt(bench.second)),
    qemuArguments: ['-device', 'i6300esb'],
  },
  {
    ...{ name: 'the root is damaged', isLong: true, reason: /left no word|did not get as far/ },
    slot: async (bench) => withBadRoot(await asBuilt(bench.second)),
  },
]

/** What was seen. */
export interface RollbackReport {
  readonly name: string
  /** From power-on until the release before was ready again, in milliseconds. */
  readonly backMs: number
  /** What the machine keeps of it. */
  readonly rollback: Rollback
  /** How many resets it took. */
  readonly resets: number
  /** The service's word on the user's files. */
  readonly files: string
  /** From the power-on after the next good release was installed until that was blessed, in milliseconds. */
  readonly nextMs?: number
}

/** A machine that has been in use with a good release, to be copied for each failure. */
export class Bench {
  /** The good release that came second, of which bad ones are made. */
  readonly second: BuiltRelease
  readonly #first: BuiltRelease
  readonly #folder: string
  readonly #onStep: (step: string) => void
  readonly #variants = new Map<string, Promise<BuiltRelease>>()
  #next: Promise<BuiltRelease> | undefined
  #count = 0

  private constructor(
    folder: string,
    releases: readonly [BuiltRelease, BuiltRelease],
    onStep: (step: string) => void,
  ) {
    this.#folder = folder
    ;[this.#first, this.second] = releases
    this.#onStep = onStep
  }

  /** Builds two releases, and boots the first until it is blessed. */
  static async make(folder: string, onStep: (step: string) => void = () => {}): Promise<Bench> {
    mkdirSync(folder, { recursive: true })
    const first = await makeRelease({ folder, config: keeperConfig(1), onStep })
    const second = await makeRelease({ folder, config: keeperConfig(2), onStep })
    const bench = new Bench(folder, [first, second], onStep)
    execFileSync('cp', ['--sparse=always', first.build.disk ?? '', bench.#path('used.img')])
    copyFileSync('/usr/share/OVMF/OVMF_VARS_4M.fd', bench.#path('used.fd'))
    onStep('first boot')
    await bench.#boot('used', [], async (vm) => {
      await vm.console.waitFor(/kept 4\n/, { timeoutMs: BOOT_MS })
      await vm.console.waitFor(/boot blessed: soloa/, { timeoutMs: BOOT_MS })
    })
    return bench
  }

  /** A build of the second release with another configuration. */
  async variant(name: string, changes: Parameters<typeof keeperConfig>[1]): Promise<BuiltRelease> {
    const known = this.#variants.get(name)
    if (known !== undefined) return await known
    this.#onStep(`building ${name}`)
    const built = buildRelease(join(this.#folder, name), keeperConfig(2, changes))
    this.#variants.set(name, built)
    return await built
  }

  /**
   * Has a machine try a bad release.
   *
   * @param takesNext - whether the next good release is installed and booted afterwards
   */
  async run(bad: BadRelease, takesNext: boolean): Promise<RollbackReport> {
    this.#count += 1
    const name = `machine-${this.#count}`
    execFileSync('cp', ['--sparse=always', this.#path('used.img'), this.#path(`${name}.img`)])
    copyFileSync(this.#path('used.fd'), this.#path(`${name}.fd`))
    this.#fillSlotB(name, await bad.slot(this))
    this.#onStep(bad.name)
    const startMs = performance.now()
    const seen = { backMs: 0, resets: 0, files: '' }
    const options = { onReset: () => (seen.resets += 1) }
    await this.#boot(
      name,
      bad.qemuArguments ?? [],
      async (vm) => {
        await vm.console.waitFor(/init: solo-b \(.*\) was given up: /, { timeoutMs: BACK_MS })
        const from = vm.console.text.lastIndexOf('was given up')
        await vm.console.waitFor(/init: ready in /, { from, timeoutMs: BOOT_MS })
        seen.backMs = performance.now() - startMs
        const [, count, last, damaged] = await vm.console.waitFor(FOUND, { from, timeoutMs: BOOT_MS })
        seen.files = `${count} up to ${last}, damaged: ${damaged}`
        await vm.console.waitFor(/boot blessed: soloa/, { from, timeoutMs: BOOT_MS })
      },
      options,
    )
    const report = { name: bad.name, ...seen, rollback: this.#rollback(name) }
    const nextMs = takesNext ? await this.#takeNext(name) : undefined
    for (const end of ['img', 'fd']) rmSync(this.#path(`${name}.${end}`))
    return nextMs === undefined ? report : { ...report, nextMs }
  }

  #path(name: string): string {
    return join(this.#folder, name)
  }

  async #boot(
    name: string,
    qemuArguments: readonly string[],
    use: (vm: Awaited<ReturnType<typeof startFirmware>>) => Promise<void>,
    options: { onReset?: () => void } = {},
  ): Promise<void> {
    await using vm = await startFirmware(this.#path(`${name}.fd`), {
      disks: [{ name: 'main', file: this.#path(`${name}.img`), writable: true }],
      qemuArguments,
      timeoutMs: 2 * BACK_MS,
      ...options,
    })
    await use(vm)
    await powerOff(vm)
  }

  /** As an update leaves the slot, and what is wrong with it besides. */
  #fillSlotB(name: string, { root, uki }: SlotBytes): void {
    const disk = this.#path(`${name}.img`)
    const place = this.#place('root-b')
    const image = this.#path('slot-b.img')
    writeFileSync(image, root)
    const places = [`of=${disk}`, `seek=${place.startBytes}`, 'oflag=seek_bytes', 'bs=1M']
    execFileSync('dd', [`if=${image}`, ...places, 'conv=notrunc', 'status=none'])
    const kernel = this.#path('slot-b.efi')
    writeFileSync(kernel, uki)
    const esp = `${disk}@@${this.#place('esp').startBytes}`
    execFileSync('mcopy', ['-i', esp, '-o', kernel, '::/EFI/Linux/solob+3-0.efi'])
    rmSync(image)
    rmSync(kernel)
  }

  #place(name: string): { readonly startBytes: number; readonly sizeBytes: number } {
    const found = this.#first.build.manifest.disk?.partitions.find((each) => each.name === name)
    if (found === undefined) throw new Error(`the build has no partition ${name}`)
    return found
  }

  /** What PID 1 keeps of the rollback, read by debugfs. */
  #rollback(name: string): Rollback {
    const { startBytes } = this.#place('data')
    using disk = new ImageView(this.#path(`${name}.img`))
    const partition = this.#path(`${name}.data`)
    // The partition has grown to the end of the disk, or was large enough before.
    writeFileSync(partition, disk.read(startBytes, disk.sizeBytes - startBytes))
    const text = execFileSync('debugfs', ['-R', 'cat /lib/solo/boot/rollback.json', partition], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    })
    rmSync(partition)
    return JSON.parse(text) as Rollback
  }

  /** Installs a good release in the slot that failed. */
  async #takeNext(name: string): Promise<number> {
    this.#next ??= makeRelease({
      ...{ folder: this.#folder, config: keeperConfig(NEXT), onStep: this.#onStep },
    })
    await this.#next
    this.#onStep('the next good release')
    {
      await using disk = await rememberingDisk({ base: this.#path(`${name}.img`) })
      await recordInstalls(join(this.#folder, 'layouts'), [
        { disk, installs: [{ name: 'next', release: String(NEXT), slot: 'b' }] },
      ])
      await disk.writeTo(this.#path('next.img'))
    }
    copyFileSync(this.#path('next.img'), this.#path(`${name}.img`))
    rmSync(this.#path('next.img'))
    const startMs = performance.now()
    let nextMs = 0
    await this.#boot(name, [], async (vm) => {
      await vm.console.waitFor(/boot blessed: solob/, { timeoutMs: BOOT_MS })
      nextMs = performance.now() - startMs
    })
    return nextMs
  }
}

/** The counter of the good release that follows a bad one. */
const NEXT = 3

/** Three tries, each with its time-out, on a busy machine. */
const BACK_MS = 900_000

/** A report for people. */
export function rollbackText({ name, backMs, resets, rollback, files, nextMs }: RollbackReport): string {
  const next = nextMs === undefined ? '' : `; the next good release blessed after ${Math.round(nextMs)} ms`
  return `${name}: back after ${Math.round(backMs)} ms and ${resets} resets: ${rollback.reason}; files: ${files}${next}`
}
