/** The files and symlinks found so far, by their path in the image. */
import { stat } from 'node:fs/promises'
import { posix } from 'node:path'
import type { ClosureEntry } from '../elf-closure.ts'
import { comparePaths } from '../tree.ts'

/** Collects entries; the same one may be added again, another one at the same path may not. */
export class Closure {
  readonly #entries = new Map<string, ClosureEntry>()

  /** @throws Error when another file is at `path` already */
  async addFile(path: string, source: string): Promise<void> {
    const known = this.#entries.get(path)
    if (known?.type === 'file' && known.source === source) return
    if (known) throw collision(path, known, source)
    const { size, mode } = await stat(source)
    const imageMode = (mode & 0o111) === 0 ? 0o644 : 0o755
    this.#entries.set(path, { type: 'file', path, source, sizeBytes: size, mode: imageMode })
  }

  /** Makes `path` lead to `target`, both absolute; nothing if they are the same. */
  addSymlink(path: string, target: string): void {
    if (path === target) return
    const relative = posix.relative(posix.dirname(path), target)
    const known = this.#entries.get(path)
    if (known?.type === 'symlink' && known.target === relative) return
    if (known) throw collision(path, known, `a symlink to ${target}`)
    this.#entries.set(path, { type: 'symlink', path, target: relative })
  }

  /** Everything, sorted by path. */
  entries(): ClosureEntry[] {
    return [...this.#entries.values()].toSorted((left, right) => comparePaths(left.path, right.path))
  }
}

function collision(path: string, known: ClosureEntry, other: string): Error {
  const first = known.type === 'file' ? known.source : `a symlink to ${known.target}`
  return new Error(
    `${path}: must be ${first} for one program and ${other} for another: they cannot share an image`,
  )
}
