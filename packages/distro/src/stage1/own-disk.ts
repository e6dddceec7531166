// On which disks the root is looked for. Of two equal disks each boot takes its own: that which the loader came from.
import type { Label, Memory, Program } from '@pkg/sys/program'
import type { Candidates } from './candidates.ts'
import { LoaderPartition } from './loader-partition.ts'

/** times(2) counts hundredths of a second. */
const timesUnitMs = 10

/**
 * How long the disk that the loader came from is waited for: longer than one on a slow bus takes to be there. Then any disk
 * will do, so that one with a torn partition table boots. Once it is there, its root is looked for as long again.
 */
const ownDiskMs = 5000

/** The disk that the loader came from. */
export class OwnDisk {
  readonly #program: Program
  readonly #candidates: Candidates
  readonly #loader: LoaderPartition
  readonly #waitUnits: number
  /** Until when it is waited for; once it is there, until when its root is looked for. As times(2) counts. */
  readonly #until: Memory
  /** 1 once it is there. */
  readonly #isThere: Memory

  /** @param replaced - for tests: where the loader tells its partition, and how long is waited */
  constructor(
    program: Program,
    candidates: Candidates,
    replaced: { readonly variable?: string; readonly waitMs?: number } = {},
  ) {
    this.#program = program
    this.#candidates = candidates
    this.#waitUnits = (replaced.waitMs ?? ownDiskMs) / timesUnitMs
    this.#loader = new LoaderPartition(program, replaced.variable)
    this.#until = program.memory(8)
    this.#isThere = program.memory(8)
    this.#allow()
  }

  /**
   * Adds the steps that choose which devices are looked at next: those of the own disk; all, where no loader told, or its
   * disk does not come.
   *
   * @param again - where the program goes on to wait for the disk
   * @param over - where it goes on when the disk is there, and its time is over: the root of another disk would not do,
   *   because the next boot may be without that disk
   */
  choose({ again, over }: { again: Label; over: Label }): void {
    const program = this.#program
    const [anyDisk, late, chosen] = [
      program.label('any disk'),
      program.label('own disk late'),
      program.label('own disk'),
    ]
    this.#loader.orElse(anyDisk)
    program.below(program.call('times', null).ignoreErrors(), this.#until.word()).otherwise(late)
    this.#candidates.lookOnDisk(this.#loader.guid, again)
    // Partitions come a moment later than their disk.
    program.below(this.#isThere.word(), 1).otherwise(chosen)
    program.set(this.#isThere, 1)
    this.#allow()
    program.jump(chosen)
    program.place(late)
    program.below(this.#isThere.word(), 1).otherwise(over)
    program.place(anyDisk)
    this.#candidates.lookEverywhere()
    program.place(chosen)
  }

  #allow(): void {
    const program = this.#program
    program.set(this.#until, program.call('times', null).ignoreErrors(), this.#waitUnits)
  }
}
