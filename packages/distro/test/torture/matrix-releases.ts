// What the machines of the matrix begin with and are given: good releases, and what each content of the table means.
import { execFileSync } from 'node:child_process'
import { rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { ApplianceConfig, ServiceConfig } from '../../src/config.ts'

import { type BuiltRelease, buildRelease, judgeOptions, updatableConfig } from './appliance.ts'
import {
  asBuilt,
  forAnotherMachine,
  type SlotBytes,
  withBadRoot,
  withHangingStage1,
  withoutKernel,
  withRottenInitramfs,
  withThrowingInit,
} from './bad-releases.ts'
import type { JudgeOptions } from './judge.ts'
import { makeKey, makeRelease, publicKeyOf } from './life.ts'
import type { Cell, Content } from './matrix.ts'

/** What a cell's machine is and meets. */
export interface Scene {
  /** `used`: release 1 runs; `updated`: release 2 runs, and 1 is in the other slot. Both were blessed. */
  readonly base: 'used' | 'updated'
  /** What is done to the disk before it is switched on. */
  readonly prepare?: (image: string, folder: string) => Promise<void>
  /** A release is given up: what is told of it. */
  readonly givenUp?: RegExp
  /** What the saboteur is asked for before the update. */
  readonly sabotage?: string
  readonly qemuArguments: readonly string[]
  /** Counter of the release that is pushed; 0 for none. */
  readonly update: number
  /** Counters of the releases that may run afterwards. */
  readonly may: readonly number[]
  /** Counter of the next good release. */
  readonly next: number
}

/** Releases, and what the judge knows of them. */
export interface MatrixReleases {
  /** The first one's disk. */
  readonly disk: string
  /** Path of the owner's key. */
  readonly key: string
  readonly judgeOptions: JudgeOptions
  /** Folder of the layout of a release, by its counter. */
  layout(counter: number): string
  scene(cell: Cell): Scene
}

/** Builds those that the cells need, signed by a new key. */
export async function makeReleases(
  folder: string,
  cells: readonly Cell[],
  onStep: (step: string) => void,
): Promise<MatrixReleases> {
  const key = makeKey(folder, 'owner')
  const releases: BuiltRelease[] = []
  const last = cells.some(({ phase }) => phase === 'second update') ? 4 : 3
  for (let counter = 1; counter <= last; counter += 1) {
    const config = matrixConfig(counter, publicKeyOf(key))
    releases.push(await makeRelease({ folder, config, keys: [key], onStep }))
  }
  const [first, second] = releases
  if (first === undefined || second === undefined) throw new Error('no releases')
  const workshop = new Workshop({ folder, key, onStep, first, second })
  return {
    ...{ disk: first.build.disk ?? '', key, judgeOptions: judgeOptions([first, ...releases.slice(1)]) },
    layout: (counter) => join(folder, 'layouts', String(counter)),
    scene: (cell) => workshop.scene(cell),
  }
}

const SABOTEUR: ServiceConfig = {
  name: 'saboteur',
  entry: fileURLToPath(new URL('guest/saboteur.ts', import.meta.url)),
  user: 'root',
}

/**
 * The appliance of the long run, with a saboteur. A kernel that knows a watchdog of hardware, and that panics when it
 * is told so from outside.
 */
function matrixConfig(counter: number, key: string, more: readonly ServiceConfig[] = []): ApplianceConfig {
  const config = updatableConfig(counter, key)
  return {
    ...config,
    kernel: { flavour: 'generic' },
    commandLine: ['unknown_nmi_panic'],
    profile: 'virtio',
    services: [...config.services, SABOTEUR, ...more],
    folders: [...(config.folders ?? []), { path: '/var/lib/saboteur', user: 'root' }],
  }
}

/** Fails its health check, and is not started a second time. */
const SICK: ServiceConfig = {
  ...{ name: 'sick', command: ['/bin/bun', '-e', 'setInterval(() => {}, 1000)'] },
  health: { command: ['/bin/bun', '-e', 'process.exit(1)'], intervalMs: 1000, failures: 2 },
  restartLimit: 1,
}

/** Panics as soon as the release is on trial. */
const PANICKING: ServiceConfig = {
  ...{ name: 'panic', user: 'root' },
  command: ['/bin/bun', '-e', 'require("node:fs").writeFileSync("/proc/sysrq-trigger", "c")'],
}

interface WorkshopTools {
  readonly folder: string
  readonly key: string
  readonly onStep: (step: string) => void
  readonly first: BuiltRelease
  readonly second: BuiltRelease
}

/** A release that fails: its bytes, and what is told of it afterwards. */
interface Bad {
  readonly reason: RegExp
  /** Whether it had been blessed, and has gone bad since. */
  readonly isRot?: true
  slot(workshop: Workshop): Promise<Partial<SlotBytes>>
}

const NO_WORD = /left no word: it could not be loaded/

const BAD: Readonly<Partial<Record<Content, Bad>>> = {
  'corrupt kernel image': {
    reason: NO_WORD,
    slot: async ({ second }) => withoutKernel(await asBuilt(second)),
  },
  'corrupt root': {
    reason: /left no word|did not get as far/,
    slot: async ({ second }) => withBadRoot(await asBuilt(second)),
  },
  'kernel image rotten since its blessing': {
    ...{ reason: NO_WORD, isRot: true },
    slot: async ({ second }) => ({ uki: (await withoutKernel(await asBuilt(second))).uki }),
  },
  'initramfs rotten since its blessing': {
    ...{ reason: NO_WORD, isRot: true },
    slot: async ({ second }) => ({ uki: (await withRottenInitramfs(await asBuilt(second))).uki }),
  },
  'root rotten since its blessing': {
    ...{ reason: NO_WORD, isRot: true },
    slot: async ({ second }) => ({ root: (await withBadRoot(await asBuilt(second))).root }),
  },
  'kernel image for another machine': {
    // systemd-boot looks at the machine's number in the header before it takes a file for an entry (src/boot/efi/pe.c).
    reason: /the boot loader passed over it/,
    slot: async ({ second }) => forAnotherMachine(await asBuilt(second)),
  },
  'a service fails its health check': {
    reason: /sick: /,
    slot: async (workshop) => asBuilt(await workshop.variant('unhealthy', SICK)),
  },
  'PID 1 throws at its start': {
    reason: /left no word/,
    slot: async ({ second }) => withThrowingInit(await asBuilt(second)),
  },
  'the kernel panics': {
    reason: /did not get as far as its gate in \d of its tries/,
    slot: async (workshop) => asBuilt(await workshop.variant('panic', PANICKING)),
  },
  'stage 1 hangs': {
    reason: /left no word/,
    slot: async ({ second }) => withHangingStage1(await asBuilt(second)),
  },
}

/** What is made when a cell asks for it. */
class Workshop {
  readonly second: BuiltRelease
  readonly #tools: WorkshopTools
  readonly #variants = new Map<string, Promise<BuiltRelease>>()

  constructor(tools: WorkshopTools) {
    this.#tools = tools
    this.second = tools.second
  }

  scene(cell: Cell): Scene {
    const { content } = cell
    const bad = BAD[content]
    if (bad !== undefined) {
      const isRot = bad.isRot === true
      return {
        base: isRot ? 'updated' : 'used',
        prepare: async (image, folder) => this.#fillSlotB(image, folder, await bad.slot(this)),
        givenUp: bad.reason,
        qemuArguments: [],
        ...{ update: 0, may: [1], next: 3 },
      }
    }
    const isSecond = cell.phase === 'second update'
    const before = isSecond ? 2 : 1
    return {
      base: isSecond ? 'updated' : 'used',
      ...(content === 'full data partition' ? { sabotage: 'fill' } : {}),
      qemuArguments: clockArguments(content),
      update: before + 1,
      may: cell.fault === 'nothing' ? [before + 1] : [before, before + 1],
      next: before + 2,
    }
  }

  /** The second release with a service more. */
  async variant(name: string, service: ServiceConfig): Promise<BuiltRelease> {
    const { folder, key, onStep } = this.#tools
    const known = this.#variants.get(name)
    if (known !== undefined) return await known
    onStep(`building ${name}`)
    const built = buildRelease(join(folder, name), matrixConfig(2, publicKeyOf(key), [service]))
    this.#variants.set(name, built)
    return await built
  }

  /** As an update leaves the slot, and what is wrong with it besides; what is not given stays. */
  #fillSlotB(disk: string, folder: string, { root, uki }: Partial<SlotBytes>): Promise<void> {
    if (root !== undefined) {
      const image = join(folder, 'slot-b.img')
      writeFileSync(image, root)
      const places = [`of=${disk}`, `seek=${this.#startOf('root-b')}`, 'oflag=seek_bytes', 'bs=1M']
      execFileSync('dd', [`if=${image}`, ...places, 'conv=notrunc', 'status=none'])
      rmSync(image)
    }
    if (uki !== undefined) {
      const kernel = join(folder, 'slot-b.efi')
      writeFileSync(kernel, uki)
      const esp = `${disk}@@${this.#startOf('esp')}`
      execFileSync('mcopy', ['-i', esp, '-o', kernel, '::/EFI/Linux/solob+3-0.efi'])
      rmSync(kernel)
    }
    return Promise.resolve()
  }

  #startOf(name: string): number {
    const found = this.#tools.first.build.manifest.disk?.partitions.find((each) => each.name === name)
    if (found === undefined) throw new Error(`the build has no partition ${name}`)
    return found.startBytes
  }
}

function clockArguments(content: Content): readonly string[] {
  const year = /^clock in (\d+)$/.exec(content)?.[1]
  return year === undefined ? [] : ['-rtc', `base=${year}-01-01T00:00:00`]
}
