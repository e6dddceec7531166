/**
 * A disk in memory, for the steps of `src/data/files.ts`: it counts them, and has its power cut before any one. Copying
 * and removing are a step for each file, so that they are cut half-way too.
 */
import type { DataFiles } from '../../src/data/files.ts'

/** The power is off. */
export class PowerCut extends Error {
  override name: string = 'PowerCut'
}

export class Disk implements DataFiles {
  /** Folders have null for a text. */
  readonly nodes: Map<string, string | null>
  /** How many steps may still be done; undefined without an end. */
  stepsLeft: number | undefined
  steps: number = 0
  freeBytes: number = Infinity
  /** Nothing can be written, as on a full disk. */
  isFull = false
  /** Called after each step, with what was there before it. */
  onStep: (before: ReadonlyMap<string, string | null>) => void = () => {}

  constructor(nodes: ReadonlyMap<string, string | null> = new Map([['/var/lib/solo', null]])) {
    this.nodes = new Map(nodes)
  }

  /** One step. */
  step(change: () => void): void {
    if (this.isFull) throw new Error('ENOSPC: no space left on device')
    if (this.stepsLeft === 0) throw new PowerCut(`before step ${this.steps}`)
    if (this.stepsLeft !== undefined) this.stepsLeft -= 1
    this.steps += 1
    const before = new Map(this.nodes)
    change()
    this.onStep(before)
  }

  isFolder(path: string): boolean {
    const node = this.nodes.get(path)
    if (node === null || node === undefined) return node === null
    throw new Error(`${path}: a file`)
  }

  namesIn(path: string): string[] {
    const below = this.#below(path).map((each) => each.slice(path.length + 1))
    return below.filter((name) => !name.includes('/'))
  }

  read(path: string): string | undefined {
    return this.nodes.get(path) ?? undefined
  }

  write(path: string, text: string): void {
    this.step(() => this.#set(path, text))
  }

  makeFolder(path: string): void {
    if (!this.isFolder(path)) this.step(() => this.#set(path, null))
  }

  rename(from: string, to: string): void {
    this.step(() => {
      if (!this.isFolder(from)) throw new Error(`${from}: ENOENT`)
      if (this.#below(to).length > 0) throw new Error(`${to}: ENOTEMPTY`)
      const moved = [from, ...this.#below(from)].map((path) => [path, this.nodes.get(path) ?? null] as const)
      for (const [path] of moved) this.nodes.delete(path)
      for (const [path, node] of moved) this.#set(to + path.slice(from.length), node)
    })
  }

  remove(path: string): Promise<void> {
    for (const each of [path, ...this.#below(path)].toReversed()) {
      if (this.nodes.has(each)) this.step(() => this.nodes.delete(each))
    }
    return Promise.resolve()
  }

  copy(folders: readonly (string | null)[], to: string): Promise<void> {
    this.step(() => this.#set(to, null))
    for (const [index, folder] of folders.entries()) {
      for (const path of folder === null ? [] : [folder, ...this.#below(folder)]) {
        const copy = `${to}/${index}${path.slice(folder?.length)}`
        this.step(() => this.#set(copy, this.nodes.get(path) ?? null))
      }
    }
    return Promise.resolve()
  }

  sync(): void {}

  measure(folders: readonly string[]): Promise<{ sizeBytes: number; files: number }> {
    const all = folders.flatMap((folder) => [folder, ...this.#below(folder)])
    return Promise.resolve({ sizeBytes: all.length * 4096, files: all.length })
  }

  room(): { sizeBytes: number; files: number } {
    return { sizeBytes: this.freeBytes, files: Infinity }
  }

  #below(path: string): string[] {
    return [...this.nodes.keys()].filter((each) => each.startsWith(`${path}/`))
  }

  #set(path: string, node: string | null): void {
    const parent = path.slice(0, path.lastIndexOf('/'))
    if (parent !== '/var/lib' && this.nodes.get(parent) !== null) throw new Error(`${path}: ENOENT`)
    this.nodes.set(path, node)
  }
}
