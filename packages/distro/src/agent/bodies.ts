// What the API's requests and answers hold; the device and the `solo` command share these types.
import type { MachineStatus } from '@pkg/init/control'
import type { SlotState } from '@pkg/update/updater-protocol'
import type { Role } from './roles.ts'

/** An answer that is not a success. */
export interface Failure {
  /** For programs: the check that a release did not pass, or a word such as `unauthorized`. */
  readonly code: string
  /** For people: what was wrong, and what to do. */
  readonly message: string
}

/** Whether the device is there. */
export interface Health {
  readonly ok: true
  /** Its host name. */
  readonly name: string
}

/** What is signed to log in. */
export interface Challenge {
  /** To be signed once. */
  readonly challenge: string
  /** How long one may take to sign. */
  readonly expiresInSeconds: number
}

/** What a client logs in with. */
export interface Credentials {
  /** The challenge that it was given. */
  readonly challenge: string
  /** An SSH signature of it and of the certificate, armored. It names its key. */
  readonly signature: string
}

/** Someone is logged in. */
export interface OpenedSession {
  /** Goes into `Authorization: Bearer`; from the address that it was given to. */
  readonly token: string
  /** What may be done with it. */
  readonly role: Role
  /** The session ends when it is not used for so long. */
  readonly expiresInSeconds: number
}

/** A range of a blob that the device asks for. */
export interface Want {
  /** Number of the want, rising. */
  readonly id: number
  /** The blob. */
  readonly digest: string
  /** Where the range begins in it, in bytes. */
  readonly offset: number
  /** How long it is, in bytes. */
  readonly length: number
}

/** Where the bytes of an update come from. */
export type UpdateOrigin = 'push' | 'channel' | 'stick'

/** How an update stands. */
export interface UpdateState {
  /** Its number since the agent was started. */
  readonly id: number
  readonly origin: UpdateOrigin
  /** `running`, or how it ended: the new slot is whole; it was refused by a check; something else failed. */
  readonly state: 'running' | 'installed' | 'refused' | 'failed'
  /** What is being done, in a word. */
  readonly phase: string
  /** How much of it is done. */
  readonly doneBytes: number
  /** How much there is to do. */
  readonly totalBytes: number
  /** How much was fetched. */
  readonly fetchedBytes: number
  /** The release; null until it is known. */
  readonly release: { readonly version: string; readonly counter: number } | null
  /** The slot that it is in, once it is installed. */
  readonly slot: string | null
  /** Why it was refused or has failed; null otherwise. */
  readonly failure: Failure | null
}

/** What the device asks for next. */
export interface WantsAnswer {
  /** Those with a number above the one that was asked with. */
  readonly wants: readonly Want[]
  readonly update: UpdateState
}

/** How the device is. */
export interface DeviceStatus {
  /** What PID 1 says. */
  readonly machine: MachineStatus
  /** The slots, the one that runs first; null in an image that takes no updates, or when the updater does not answer. */
  readonly slots: readonly SlotState[] | null
  /** The update that runs or ran last; null when there was none since the agent was started. */
  readonly update: UpdateState | null
  /** The channel that the device follows; null for none. */
  readonly channel: ChannelState | null
}

/** What came of looking at a channel. */
export interface ChannelState {
  /** Its name. */
  readonly name: string
  /** When it was looked at last; null when it was not yet. */
  readonly lookedAt: string | null
  /** What is done about what it has, or what went wrong. */
  readonly detail: string
}
