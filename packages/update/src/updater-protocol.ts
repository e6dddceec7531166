/**
 * What is said on the updater's socket: the client sends a request and the documents of a release; the updater asks
 * for parts of blobs, and the client gives them, in any order; at last there is one answer. Each connection has one
 * request. Closing the connection ends an installation; the next one goes on where it stopped.
 *
 * Each message is a frame: its length as four bytes, little-endian, counting what follows; one byte of kind, 0 for
 * JSON and 1 for bytes of a blob; then the payload.
 */
import type { RefusedCheck } from './refused.ts'
import type { ReleaseDocuments } from './release.ts'

export { FrameError, FrameReader, frameBytesMax, jsonFrame, dataFrame } from './updater/frames.ts'
export type { Frame } from './updater/frames.ts'

/** Where the updater listens. */
export const UPDATER_SOCKET = '/run/solo/updater.sock'

/** The most bytes that one {@link WantMessage} asks for. */
export const wantBytesMax: number = 256 * 1024

/** So many wants may be without an answer. */
export const wantsMax = 8

/** How a slot stands. */
export interface SlotState {
  /** `solo-a` or `solo-b`. */
  readonly slot: string
  /** Whether it is the one that runs. */
  readonly running: boolean
  /**
   * `whole`: it has a root and a boot entry; `partial`: a release is being written, or was when something stopped it;
   * `empty`: neither.
   */
  readonly condition: 'whole' | 'partial' | 'empty'
  /** The version that is in it, or is being written; null when unknown. */
  readonly version: string | null
  /** The release's counter; null when unknown. */
  readonly counter: number | null
  /** Tries that the boot entry has left; null without one. */
  readonly triesLeft: number | null
  /** Of a partial one, how many bytes of the root are there and right; null otherwise. */
  readonly doneBytes: number | null
  /** Of a partial one, how many bytes the root has; null otherwise. */
  readonly totalBytes: number | null
}

/** What an installation is doing: finding what is there, fetching what is not, reading all of it back, and the kernel. */
export type InstallPhase = 'compare' | 'fetch' | 'verify' | 'boot-image'

/** How far an installation is. */
export interface InstallProgress {
  /** What is done now. */
  readonly phase: InstallPhase
  /** How far this phase is. */
  readonly doneBytes: number
  /** How much this phase has to do. */
  readonly totalBytes: number
  /** What the source has given in all. */
  readonly fetchedBytes: number
}

/** What a client may ask for. */
export type UpdaterRequest =
  /** Put a release into the free slot. The client is asked for what is missing. */
  | { readonly type: 'install'; readonly documents: ReleaseDocuments }
  /** Look for a release on a medium that is plugged in, and install it. */
  | { readonly type: 'install-from-stick' }
  /** Check a release as `install` does, and do no more. */
  | { readonly type: 'verify'; readonly documents: ReleaseDocuments }
  /** Tell how the slots stand. */
  | { readonly type: 'state' }

/** What a client says when it was asked for a part of a blob. */
export type ClientMessage =
  /** The bytes of this want follow at once, in frames of data that make up its length. */
  | { readonly type: 'data'; readonly id: number }
  /** They cannot be had: the installation fails, and may be tried again. */
  | { readonly type: 'failed'; readonly id: number; readonly reason: string }

/** The updater needs a part of a blob. */
export interface WantMessage {
  readonly type: 'want'
  /** By which the answer names it. */
  readonly id: number
  /** `sha256:` and 64 hexadecimal digits. */
  readonly digest: string
  /** The first byte. */
  readonly offset: number
  /** How many bytes, {@link wantBytesMax} at most. */
  readonly length: number
}

/** The release is in its slot and will be tried at the next boot. */
export interface InstalledMessage {
  readonly type: 'installed'
  /** The slot. */
  readonly slot: string
  /** The release's version. */
  readonly version: string
  /** The release's counter. */
  readonly counter: number
  /** What the source has given in all. */
  readonly fetchedBytes: number
}

/** The one answer that ends a request. */
export type UpdaterAnswer =
  | InstalledMessage
  /** The release would be installed. */
  | { readonly type: 'verified'; readonly version: string; readonly counter: number }
  /** How the slots stand; the one that runs comes first. */
  | { readonly type: 'state'; readonly slots: readonly SlotState[]; readonly installing: boolean }
  /** The release does not pass a check. Another try ends likewise. */
  | { readonly type: 'refused'; readonly check: RefusedCheck; readonly message: string }
  /** Something else went wrong. Another try may succeed, and goes on where this one stopped. */
  | { readonly type: 'failed'; readonly message: string }

/** What the updater says. */
export type UpdaterMessage = WantMessage | ({ readonly type: 'progress' } & InstallProgress) | UpdaterAnswer
