/**
 * Where tests stand in their source. The pool wants to know, to point there when a test takes its guest along;
 * reporters show it only when the project asks for it (`includeTaskLocation`). So it is gathered, and kept back.
 */
import type { RunnerTask, RunnerTestFile } from 'vitest'

/** A place in the test's file, from 1. */
export interface TestLocation {
  /** Line. */
  readonly line: number
  /** Column. */
  readonly column: number
}

/** The places of one worker's tests. */
export class Locations {
  readonly #known = new Map<string, TestLocation>()

  /** Where a test stands. */
  of(id: string): TestLocation | undefined {
    return this.#known.get(id)
  }

  /** Takes the places out of the files of a message to the host. */
  takeFrom(files: readonly RunnerTestFile[]): void {
    for (const file of files) this.#take(file)
  }

  #take(task: RunnerTask): void {
    if (task.location) this.#known.set(task.id, task.location)
    delete task.location
    if (task.type === 'suite') for (const inner of task.tasks) this.#take(inner)
  }
}
