// A machine's disk in memory, with a log of everything that an installation does to it, in order: what a power cut may
// leave is a prefix of it, with any of the writes missing that no flush has followed.
import {
  type BootFile,
  type BootFileEntry,
  type BootFileReader,
  type BootPartition,
  type SlotTarget,
} from '../../src/slot.ts'

/** One thing that was done. */
export type Step =
  | { readonly kind: 'write'; readonly offset: number; readonly bytes: Uint8Array }
  | { readonly kind: 'flush' }
  | {
      readonly kind: 'file-write'
      readonly name: string
      readonly offset: number
      readonly bytes: Uint8Array
    }
  | { readonly kind: 'file-resize'; readonly name: string; readonly sizeBytes: number }
  | { readonly kind: 'file-flush'; readonly name: string }
  | { readonly kind: 'remove'; readonly name: string }
  | { readonly kind: 'rename'; readonly from: string; readonly to: string }
  | { readonly kind: 'sync' }

/** What lies on the disk. */
export interface DiskContent {
  /** The root partition of the free slot. */
  readonly root: Uint8Array
  /** The files of /EFI/Linux. */
  readonly files: Map<string, Uint8Array>
}

/** A copy that may be changed. */
export function copyOf({ root, files }: DiskContent): DiskContent {
  return {
    root: new Uint8Array(root),
    files: new Map([...files].map(([name, bytes]) => [name, new Uint8Array(bytes)])),
  }
}

/** Does one step to a disk. */
export function apply({ root, files }: DiskContent, step: Step): void {
  if (step.kind === 'write') root.set(step.bytes, step.offset)
  else if (step.kind === 'file-write') files.get(step.name)?.set(step.bytes, step.offset)
  else if (step.kind === 'file-resize') {
    const bytes = new Uint8Array(step.sizeBytes)
    bytes.set((files.get(step.name) ?? new Uint8Array()).subarray(0, step.sizeBytes))
    files.set(step.name, bytes)
  } else if (step.kind === 'remove') files.delete(step.name)
  else if (step.kind === 'rename') {
    const bytes = files.get(step.from)
    if (bytes === undefined || files.has(step.to)) throw new Error(`rename ${step.from} ${step.to}`)
    files.delete(step.from)
    files.set(step.to, bytes)
  }
}

/** The power is gone. */
export class PowerCut extends Error {}

/** A disk that logs what is done to it. */
export class SimulatedMachine {
  readonly content: DiskContent
  readonly log: Step[] = []
  /** After so many steps the power goes. */
  stepsMax: number = Infinity
  /** How many bytes the boot partition can hold. */
  bootBytes: number = 64 * 1024 * 1024
  /** Files of the boot partition that are longer than their clusters. */
  readonly damaged: Set<string> = new Set()
  /** Does something to what is read back from the medium. */
  onReadDirect: (offset: number, bytes: Uint8Array) => void = () => {}

  constructor(content: DiskContent) {
    this.content = copyOf(content)
  }

  #do(step: Step): Promise<void> {
    if (this.log.length >= this.stepsMax) return Promise.reject(new PowerCut())
    this.log.push(step)
    apply(this.content, step)
    return Promise.resolve()
  }

  /** The root partition of the free slot. */
  get target(): SlotTarget {
    const { root } = this.content
    const read = (offset: number, length: number): Promise<Uint8Array> =>
      Promise.resolve(root.slice(offset, offset + length))
    return {
      sizeBytes: root.length,
      read,
      readDirect: async (offset, length) => {
        const bytes = await read(offset, length)
        this.onReadDirect(offset, bytes)
        return bytes
      },
      write: (offset, bytes) => this.#do({ kind: 'write', offset, bytes: new Uint8Array(bytes) }),
      flush: () => this.#do({ kind: 'flush' }),
    }
  }

  /** The boot partition. */
  get boot(): BootPartition {
    const { files } = this.content
    return {
      list: () =>
        Promise.resolve([...files].map(([name, { length }]): BootFileEntry => ({ name, sizeBytes: length }))),
      freeBytes: () =>
        Promise.resolve(this.bootBytes - [...files.values()].reduce((sum, { length }) => sum + length, 0)),
      read: (name) => Promise.resolve(this.#reader(name)),
      write: (name) => Promise.resolve(this.#file(name)),
      remove: async (name) => {
        await this.#do({ kind: 'remove', name })
        this.damaged.delete(name)
      },
      rename: (from, to) => this.#do({ kind: 'rename', from, to }),
      sync: () => this.#do({ kind: 'sync' }),
    }
  }

  #reader(name: string): BootFileReader {
    // An open file stays what it is when its name goes.
    const bytes = this.content.files.get(name) ?? new Uint8Array()
    const isDamaged = this.damaged.has(name)
    return {
      sizeBytes: bytes.length,
      read: (offset, length) =>
        isDamaged ? Promise.reject(new Error('EIO')) : Promise.resolve(bytes.slice(offset, offset + length)),
      [Symbol.asyncDispose]: () => Promise.resolve(),
    }
  }

  #file(name: string): BootFile {
    const { files } = this.content
    const read = (offset: number, length: number): Promise<Uint8Array> => {
      if (this.damaged.has(name)) return Promise.reject(new Error('EIO'))
      return Promise.resolve((files.get(name) ?? new Uint8Array()).slice(offset, offset + length))
    }
    return {
      get sizeBytes() {
        return files.get(name)?.length ?? 0
      },
      read,
      readDirect: read,
      write: (offset, bytes) => this.#do({ kind: 'file-write', name, offset, bytes: new Uint8Array(bytes) }),
      flush: () => this.#do({ kind: 'file-flush', name }),
      resize: (sizeBytes) => this.#do({ kind: 'file-resize', name, sizeBytes }),
      [Symbol.asyncDispose]: () => Promise.resolve(),
    }
  }
}
