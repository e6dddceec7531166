// A machine's disk in memory, with a log of everything that an installation does to it, in order: what a power cut may
// leave is a prefix of it, with any of the writes missing that no flush has followed.
import { errnoNumber, SysError } from '@pkg/sys/errno'
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
  /** Blocks of the root that cannot be read until they are written; a disk loses 4096 bytes at once, or 512. */
  readonly unreadable?: Set<number>
  /** Files that cannot be read to their end. */
  readonly damaged?: Set<string>
}

const blockBytes = 4096

/** A copy that may be changed. */
export function copyOf({ root, files, unreadable, damaged }: DiskContent): Required<DiskContent> {
  return {
    root: new Uint8Array(root),
    files: new Map([...files].map(([name, bytes]) => [name, new Uint8Array(bytes)])),
    unreadable: new Set(unreadable),
    damaged: new Set(damaged),
  }
}

/** Does one step to a disk. */
export function apply({ root, files, unreadable }: DiskContent, step: Step): void {
  if (step.kind === 'write') {
    root.set(step.bytes, step.offset)
    const end = step.offset + step.bytes.length
    for (const block of unreadable ?? [])
      if (step.offset <= block * blockBytes && (block + 1) * blockBytes <= end) unreadable?.delete(block)
  } else if (step.kind === 'file-write') files.get(step.name)?.set(step.bytes, step.offset)
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
  readonly content: Required<DiskContent>
  readonly log: Step[] = []
  /** After so many steps the power goes. */
  stepsMax: number = Infinity
  /** How many bytes the boot partition can hold. */
  bootBytes: number = 64 * 1024 * 1024
  /** Blocks of the root that writing does not make readable. */
  readonly dead: Set<number> = new Set()
  /** Says what reading a lost block gives. */
  readErrorCode: string = 'EIO'
  /** Whether the disk has been pulled out: nothing can be read or written. */
  isGone: boolean = false
  /** Does something to what is read back from the medium. */
  onReadDirect: (offset: number, bytes: Uint8Array) => void = () => {}

  constructor(content: DiskContent) {
    this.content = copyOf(content)
  }

  /** Files of the boot partition that are longer than their clusters. */
  get damaged(): Set<string> {
    return this.content.damaged
  }

  #do(step: Step): Promise<void> {
    if (this.isGone) return Promise.reject(this.#error('pwrite64'))
    if (this.log.length >= this.stepsMax) return Promise.reject(new PowerCut())
    this.log.push(step)
    apply(this.content, step)
    for (const block of this.dead) this.content.unreadable.add(block)
    return Promise.resolve()
  }

  #error(syscall: string): SysError {
    return new SysError({ errno: errnoNumber(this.readErrorCode), syscall })
  }

  /** The root partition of the free slot. */
  get target(): SlotTarget {
    const { root, unreadable } = this.content
    const read = (offset: number, length: number): Promise<Uint8Array> => {
      let isLost = false
      for (let block = Math.floor(offset / blockBytes); block * blockBytes < offset + length; block++)
        isLost ||= unreadable.has(block)
      if (this.isGone || isLost) return Promise.reject(this.#error('pread64'))
      return Promise.resolve(root.slice(offset, offset + length))
    }
    return {
      name: '/dev/vda3',
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
