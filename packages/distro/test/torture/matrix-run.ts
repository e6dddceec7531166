// The cells of the matrix, carried out: the machine meets its fault, comes back with a whole, signed release and all
// files of its user, and takes the next good release.
import { execFileSync } from 'node:child_process'
import { copyFileSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { collectDocuments } from '@pkg/update/layout'
import { pushRelease } from '../../src/device/push.ts'
import { openPlace } from '../../src/release/place.ts'
import { isGood, Judge, verdictText } from './judge.ts'
import { inLanes } from './lanes.ts'
import { BACK_MS, MatrixMachine } from './matrix-machine.ts'
import { type MatrixReleases, makeReleases, type Scene } from './matrix-releases.ts'
import { type Cell, cellName } from './matrix.ts'
import { FIRMWARE } from './recording.ts'

/** What was seen of a cell. */
export interface CellReport {
  readonly name: string
  /** What was not as it has to be. */
  readonly problem?: string
  /** From the fault, or from power-on where nothing goes wrong, until the machine was well again, in milliseconds. */
  readonly backMs: number
  /** The release that ran then. */
  readonly version: string
  /** How many resets it took. */
  readonly resets: number
  /** Why the machine gave a release up, when it did. */
  readonly reason?: string
  /** All of it, with the next good release. */
  readonly totalMs: number
}

/** A report in a line. */
export function cellText({ name, problem, backMs, version, resets, reason }: CellReport): string {
  const given = reason === undefined ? '' : `; given up: ${reason}`
  if (problem !== undefined) return `FAILED ${name}: ${problem}`
  return `${name}: ${version} after ${Math.round(backMs / 1000)} s and ${resets} resets${given}`
}

/** What is to be done. */
export interface MatrixOptions {
  /** For builds and disks; made when it is not there. */
  readonly folder: string
  readonly cells: readonly Cell[]
  /** Decides the order, and what power cuts take. */
  readonly seed: string
  /** When it should end, as `performance.now()` tells it: no cell is begun that would not be through by then. */
  readonly endMs?: number
  /** Told of each step. */
  readonly onStep?: (step: string) => void
  /** Ends it early. */
  readonly signal?: AbortSignal
}

/** What a cell takes as long as none has been seen. */
const CELL_MS = 180_000

/** Carries cells out; those for which there was no time have no report. */
export async function runMatrix(options: MatrixOptions): Promise<CellReport[]> {
  const { endMs = Number.POSITIVE_INFINITY, onStep = () => {}, signal } = options
  const reports: CellReport[] = []
  try {
    const bench = await MatrixBench.make(options)
    const waiting = shuffled(options.cells, options.seed)
    let typicalMs = CELL_MS
    const next = (): Cell | undefined => {
      signal?.throwIfAborted()
      return performance.now() + typicalMs > endMs ? undefined : waiting.shift()
    }
    await inLanes(next, async (cell) => {
      const report = await bench.run(cell)
      reports.push(report)
      typicalMs = Math.max(...reports.slice(-4).map(({ totalMs }) => totalMs))
      onStep(`cell ${reports.length} of ${options.cells.length}: ${cellText(report)}`)
    })
  } catch (error) {
    if (signal?.aborted !== true) throw error
  }
  return reports
}

/** In an order that the seed decides: when time is short, another seed sees other cells. */
function shuffled(cells: readonly Cell[], seed: string): Cell[] {
  const rank = (cell: Cell): string =>
    new Bun.CryptoHasher('sha1').update(`${seed}/${cellName(cell)}`).digest('hex')
  return cells.toSorted((a, b) => (rank(a) < rank(b) ? -1 : 1))
}

/** What of a report is known as it goes. */
type Seen = { -readonly [K in 'backMs' | 'version' | 'resets']: CellReport[K] }

/** A disk and its firmware's variables. */
interface Base {
  readonly image: string
  readonly variables: string
}

/** Machines to begin with, and releases to give them. */
export class MatrixBench {
  readonly #options: MatrixOptions
  readonly #releases: MatrixReleases
  readonly #judge: Judge
  readonly #bases = new Map<'used' | 'updated', Promise<Base>>()

  private constructor(options: MatrixOptions, releases: MatrixReleases) {
    this.#options = options
    this.#releases = releases
    this.#judge = new Judge(releases.judgeOptions)
  }

  /** Builds the releases. */
  static async make(options: MatrixOptions): Promise<MatrixBench> {
    const { folder, cells, onStep = () => {}, signal } = options
    mkdirSync(folder, { recursive: true })
    const tell = (step: string): void => {
      signal?.throwIfAborted()
      onStep(step)
    }
    return new MatrixBench(options, await makeReleases(folder, cells, tell))
  }

  /** Carries a cell out. What goes wrong is in the report. @throws the signal's reason */
  async run(cell: Cell): Promise<CellReport> {
    const startMs = performance.now()
    const name = cellName(cell)
    const folder = mkdtempSync(join(this.#options.folder, 'cell-'))
    const seen: Seen = { backMs: 0, version: '', resets: 0 }
    try {
      const reason = await this.#carryOut(cell, folder, seen)
      const totalMs = performance.now() - startMs
      return { name, ...seen, ...(reason === undefined ? {} : { reason }), totalMs }
    } catch (error) {
      this.#options.signal?.throwIfAborted()
      const problem = error instanceof Error ? error.message : String(error)
      return { name, ...seen, problem, totalMs: performance.now() - startMs }
    } finally {
      rmSync(folder, { recursive: true, force: true })
    }
  }

  /** @returns why a release was given up */
  async #carryOut(cell: Cell, folder: string, seen: Seen): Promise<string | undefined> {
    const scene = this.#releases.scene(cell)
    const base = await this.#base(scene.base)
    let { image } = base
    if (scene.prepare !== undefined) {
      image = join(folder, 'prepared.img')
      execFileSync('cp', ['--sparse=always', base.image, image])
      await scene.prepare(image, folder)
    }
    await using machine = await this.#machine({ ...base, image }, folder, cell)
    try {
      return await this.#meet(cell, scene, machine, seen)
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error)
      throw new Error(`${message}\n${machine.lastLines}`, { cause: error })
    }
  }

  /** @returns why a release was given up */
  async #meet(cell: Cell, scene: Scene, machine: MatrixMachine, seen: Seen): Promise<string | undefined> {
    let startMs = performance.now()
    await machine.start()
    if (scene.update > 0) {
      await machine.settle()
      if (scene.sabotage !== undefined) await machine.sabotage(scene.sabotage)
      startMs = await this.#fault(cell, machine, scene.update)
    } else if (scene.givenUp !== undefined) {
      await this.#trial(cell, machine)
    }
    await machine.settle(BACK_MS)
    const { machine: well } = await machine.status()
    Object.assign(seen, {
      backMs: performance.now() - startMs,
      version: well.boot.release?.version ?? 'none',
      resets: machine.resets,
    })
    if (!scene.may.includes(well.boot.release?.counter ?? 0))
      throw new Error(`release ${seen.version} runs, expected ${scene.may.join(' or ')}`)
    const reason = well.boot.lastRollback?.reason
    if (scene.givenUp !== undefined && !scene.givenUp.test(reason ?? ''))
      throw new Error(`given up for another reason than ${scene.givenUp}: ${reason}`)
    await this.#takeNext(machine, scene.next)
    return reason
  }

  /** A release that fails by itself; and the power may fail besides. */
  async #trial({ fault }: Cell, machine: MatrixMachine): Promise<void> {
    if (fault === 'power cut') {
      await machine.see(/gate: a trial of/)
      await this.#cut(machine)
    }
    await machine.see(/init: solo-b \(.*\) was given up: /, BACK_MS)
    machine.markAt('was given up: ')
  }

  /** Has the fault happen in its phase of an update. Gives the time of it. */
  async #fault({ fault, phase }: Cell, machine: MatrixMachine, counter: number): Promise<number> {
    const isInstalling = fault !== 'nothing' && !['switch', 'first boot', 'blessing'].includes(phase)
    if (isInstalling) {
      // One that fails tells so in the device's state; one that was cut off tries again for a while, and may succeed.
      const push = this.#push(machine, counter).catch(() => {})
      await machine.untilPhase(phase === 'second update' ? 'fetch' : phase)
      const atMs = performance.now()
      await this.#do(fault, machine)
      await push
      return atMs
    }
    await this.#push(machine, counter)
    machine.mark()
    await (await machine.client()).command('reboot')
    await machine.see(/shutting down: /)
    if (phase !== 'switch' || fault === 'power cut') await machine.untilReset()
    if (phase === 'switch' && fault === 'power cut') await machine.untilWrite()
    if (phase === 'first boot' && fault !== 'nothing') await machine.see(/init: /)
    if (phase === 'blessing') await machine.see(/init: ready in /)
    const atMs = performance.now()
    await this.#do(fault, machine)
    return atMs
  }

  async #do(fault: Cell['fault'], machine: MatrixMachine): Promise<void> {
    if (fault === 'power cut') await this.#cut(machine)
    else if (fault === 'panic') await machine.panic()
    else if (fault === 'hang') await machine.hang()
    else if (fault === 'kill -9 of the agent') await machine.sabotage('kill/agent')
    else if (fault === 'kill -9 of the updater') await machine.sabotage('kill/updater')
  }

  async #cut(machine: MatrixMachine): Promise<void> {
    const { verdict, state } = await machine.cut(this.#judge)
    // What fails by itself is no release that the judge knows: its tries are counted, and that is not its business.
    if (verdict.version === undefined)
      throw new Error(`after the power cut ${state}: ${verdictText(verdict)}`)
    await machine.start()
  }

  async #push(machine: MatrixMachine, counter: number): Promise<void> {
    await machine.untilServing()
    await using place = await openPlace(this.#releases.layout(counter))
    const documents = await collectDocuments(place.source)
    await pushRelease(await machine.client(), { documents, source: place.source }, () => {})
  }

  async #takeNext(machine: MatrixMachine, counter: number): Promise<void> {
    await this.#push(machine, counter)
    machine.mark()
    await (await machine.client()).command('reboot')
    await machine.untilReset()
    await machine.settle()
    const { release } = (await machine.status()).machine.boot
    if (release?.counter !== counter)
      throw new Error(`release ${release?.version} runs after the next good update, to ${counter}`)
    await machine.stop()
    const verdict = await machine.verdict(this.#judge)
    if (!isGood(verdict) || verdict.counter !== counter)
      throw new Error(`after the next good update: ${verdictText(verdict)}`)
  }

  async #machine(base: Base, folder: string, cell?: Cell): Promise<MatrixMachine> {
    const { signal, seed } = this.#options
    return await MatrixMachine.make({
      ...{ ...base, folder, signal, key: this.#releases.key },
      seed: cell === undefined ? seed : `${seed}/${cellName(cell)}`,
      qemuArguments: cell === undefined ? [] : this.#releases.scene(cell).qemuArguments,
      hasDebugger: cell?.fault === 'hang',
    })
  }

  async #base(kind: 'used' | 'updated'): Promise<Base> {
    const known = this.#bases.get(kind)
    if (known !== undefined) return await known
    const made = kind === 'used' ? this.#makeUsed() : this.#makeUpdated()
    this.#bases.set(kind, made)
    return await made
  }

  /** A machine that has been in use with the first release. */
  async #makeUsed(): Promise<Base> {
    this.#options.onStep?.('first boot')
    const variables = join(this.#options.folder, 'new.fd')
    copyFileSync(FIRMWARE.variables, variables)
    return await this.#inUse('used', { image: this.#releases.disk, variables }, (machine) => machine.settle())
  }

  /** One that has got the second release. */
  async #makeUpdated(): Promise<Base> {
    const used = await this.#base('used')
    this.#options.onStep?.('first update')
    return await this.#inUse('updated', used, async (machine) => {
      await machine.settle()
      await this.#push(machine, 2)
      machine.mark()
      await (await machine.client()).command('reboot')
      await machine.untilReset()
      await machine.settle()
    })
  }

  async #inUse(name: string, base: Base, use: (machine: MatrixMachine) => Promise<unknown>): Promise<Base> {
    const { folder } = this.#options
    const place = mkdtempSync(join(folder, `${name}-`))
    await using machine = await this.#machine(base, place)
    await machine.start()
    await use(machine)
    await machine.stop()
    const made = { image: join(folder, `${name}.img`), variables: join(folder, `${name}.fd`) }
    await machine.save(made.image, made.variables)
    return made
  }
}
