// A step at which a child waits until its parent has done something for it.
import { FUTEX_WAIT } from '../generated/constants/futex.ts'
import { futex_wake_all } from '../futex.ts'
import type { Memory, Program } from '../program.ts'
import type { RunningChild } from './clone.ts'

/** A parent that has not come by then never will: its program is stopped, or dead. */
const waitS = 30n

/** The place where both meet. */
export class Rendezvous {
  readonly #word: Memory

  /** Adds the steps that wait. They must come while all signals are blocked. */
  constructor(program: Program) {
    this.#word = program.memory(8)
    const timeout = new Uint8Array(BigInt64Array.of(waitS, 0n).buffer)
    const again = program.label('again')
    program.place(again)
    // EAGAIN: the parent was first. A futex may also wake for nothing (futex(2)).
    program.call('futex', this.#word, FUTEX_WAIT, 0, timeout).tolerate('EAGAIN')
    program.equal(this.#word, Uint8Array.of(1, 0, 0, 0)).otherwise(again)
  }

  /** Lets the child go on. */
  open({ program, compiled, mapping }: RunningChild): void {
    const word = program.contents(compiled, this.#word)
    const offset = word.byteOffset - mapping.bytes.byteOffset
    Atomics.store(new Int32Array(word.buffer, word.byteOffset, 1), 0, 1)
    futex_wake_all({ mapping, offset })
  }
}
