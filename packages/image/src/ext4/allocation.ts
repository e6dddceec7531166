/** Gives out blocks from the first to the last, past the groups' structures, so that what is in use has no gaps. */
import type { Run } from './format.ts'
import { blocksOfGroup, groupStart, structureBlocks } from './geometry.ts'
import type { Geometry } from './geometry.ts'

/** The blocks of a file system that are still free. */
export class Allocation {
  readonly #geometry: Geometry
  #group = 0
  #next = 0
  #groupEnd = 0
  #missingBlocks = 0

  constructor(geometry: Geometry) {
    this.#geometry = geometry
    this.#enter(0)
  }

  /** All blocks before this one are in use, and from it on only the structures of groups. */
  get usedEnd(): number {
    return this.#next
  }

  /** How many blocks were asked for that there are not. */
  get missingBlocks(): number {
    return this.#missingBlocks
  }

  /** So many blocks in as few runs as there can be; fewer when there are no more, see {@link missingBlocks}. */
  take(blocks: number): Run[] {
    const runs: { start: number; blocks: number }[] = []
    let wanted = blocks
    while (wanted > 0) {
      if (this.#next === this.#groupEnd && !this.#enter(this.#group + 1)) break
      const taken = Math.min(wanted, this.#groupEnd - this.#next)
      const last = runs.at(-1)
      if (last && last.start + last.blocks === this.#next) last.blocks += taken
      else if (taken > 0) runs.push({ start: this.#next, blocks: taken })
      this.#next += taken
      wanted -= taken
    }
    this.#missingBlocks += wanted
    return runs
  }

  #enter(group: number): boolean {
    if (group >= this.#geometry.groups) return false
    const start = groupStart(group)
    const structures = structureBlocks(this.#geometry, group)
    this.#group = group
    this.#groupEnd = start + blocksOfGroup(this.#geometry, group)
    this.#next = Math.min(start + structures, this.#groupEnd)
    // Only the structures of a first group that is the last as well can be more than its blocks.
    this.#missingBlocks += Math.max(0, start + structures - this.#groupEnd)
    return true
  }
}
