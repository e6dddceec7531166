// Which file of a tree comes from what.
import type { FileTree } from '@pkg/image/tree'
import type { Component } from './component.ts'

/** What the files of an image come from, by path. */
export class Origins {
  readonly #byPath = new Map<string, readonly Component[]>()

  /**
   * Says where all comes from that a tree holds and that nobody has claimed before: to be called after each step that
   * adds to it.
   *
   * @param from - the components, or what tells them by path
   */
  claim(tree: FileTree, from: readonly Component[] | ((path: string) => readonly Component[])): void {
    for (const { path } of tree) {
      if (!this.#byPath.has(path)) this.#byPath.set(path, typeof from === 'function' ? from(path) : from)
    }
  }

  /** What a path comes from; nothing for one that nobody has claimed. */
  of(path: string): readonly Component[] {
    return this.#byPath.get(path) ?? []
  }
}
