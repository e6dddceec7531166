/** The guests of a project: a fresh one for each file, or one after another for files that ask for the same machine. */
import { encodeValue } from './clone.ts'
import type { MachineDefinition } from './options.ts'
import type { SentFiles } from './rpc-tap.ts'
import type { StartedProgram } from './runtime.ts'
import type { WorkerTransport } from './transport.ts'

/** A guest that is one file's for a while. */
export interface Lease {
  /** The guest. */
  readonly transport: WorkerTransport
  /** What files it has got. */
  readonly sent: SentFiles
  /**
   * Gives it back.
   *
   * @param broken - whether it is of no more use to others
   */
  release(broken: boolean): Promise<void>
}

interface Guest {
  readonly transport: WorkerTransport
  readonly sent: SentFiles
}

/** Starts a guest in which this program is to run. */
export type StartGuest = (machine: MachineDefinition, program: StartedProgram) => Promise<WorkerTransport>

/** The shared guests of one machine. */
interface Herd {
  /** How many there are, those that are being started too. */
  count: number
  /** Those in which no file runs now. */
  readonly idle: Guest[]
  /** Who waits for one, or for the leave to start one (undefined). */
  readonly waiting: ((guest: Guest | undefined) => void)[]
}

/** Starts, lends and ends guests. */
export class Guests implements AsyncDisposable {
  readonly #start: StartGuest
  readonly #maxShared: number
  readonly #herds = new Map<string, Herd>()
  readonly #leased = new Set<Guest>()
  #isOver = false

  /**
   * @param start - starts a guest
   * @param maxShared - how many shared guests of one machine there may be: vitest begins a file before it has put the
   *   worker of the last one away
   */
  constructor(start: StartGuest, maxShared: number) {
    this.#start = start
    this.#maxShared = maxShared
  }

  /** Gives a guest that is such a machine. @throws what the guest's start throws */
  async lease(machine: MachineDefinition, program: StartedProgram): Promise<Lease> {
    const herd = machine.guest === 'shared' ? this.#herdOf(encodeValue(machine)) : undefined
    const guest = herd ? await this.#fromHerd(herd, machine, program) : await this.#fresh(machine, program)
    if (this.#isOver) {
      await dispose(guest)
      throw new Error('vitest has ended')
    }
    this.#leased.add(guest)
    const release = async (broken: boolean): Promise<void> => {
      this.#leased.delete(guest)
      const isKept = herd !== undefined && !broken && !this.#isOver
      if (!isKept) await dispose(guest)
      if (herd) giveBack(herd, isKept ? guest : undefined)
    }
    return { ...guest, release }
  }

  /** Ends all guests, those in which files run too: vitest has given up on them. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#isOver = true
    const idle = [...this.#herds.values()].flatMap((herd) => herd.idle.splice(0))
    await Promise.all([...this.#leased, ...idle].map(dispose))
  }

  #herdOf(key: string): Herd {
    const herd = this.#herds.get(key) ?? { count: 0, idle: [], waiting: [] }
    this.#herds.set(key, herd)
    return herd
  }

  async #fromHerd(herd: Herd, machine: MachineDefinition, program: StartedProgram): Promise<Guest> {
    const idle = herd.idle.pop()
    if (idle) return idle
    if (herd.count < this.#maxShared) herd.count += 1
    else {
      const given = await new Promise<Guest | undefined>((resolve) => herd.waiting.push(resolve))
      if (given) return given
    }
    try {
      return await this.#fresh(machine, program)
    } catch (error) {
      giveBack(herd, undefined)
      throw error
    }
  }

  async #fresh(machine: MachineDefinition, program: StartedProgram): Promise<Guest> {
    return { transport: await this.#start(machine, program), sent: new Map() }
  }
}

/** A guest that can be used again, or the leave to start one in its stead. */
function giveBack(herd: Herd, guest: Guest | undefined): void {
  const next = herd.waiting.shift()
  if (next) next(guest)
  else if (guest) herd.idle.push(guest)
  else herd.count -= 1
}

/** A guest that ended badly has been reported by the file that ran in it. */
async function dispose({ transport }: Guest): Promise<void> {
  try {
    await transport[Symbol.asyncDispose]()
  } catch {}
}
