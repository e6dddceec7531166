// What the API acts on: the device behind the agent, of which the agent itself may do nothing.
import type { ControlRequest } from '@pkg/init/control'
import type { DeviceStatus } from './bodies.ts'
import type { Channel } from './channel.ts'
import type { Logins } from './login.ts'
import type { Updates } from './updates.ts'

/** The device. */
export interface Device {
  /** The appliance's name. */
  readonly appliance: string
  /** The host name. */
  readonly hostname: string
  /** Who may log in. */
  readonly logins: Logins
  /** Its updates; null in an image that takes none. */
  readonly updates: Updates | null
  /** The channel that it follows; null for none. */
  readonly channel: Channel | null
  /** How it is. */
  status(): Promise<DeviceStatus>
  /** How it is, now and whenever that changes, until `signal` is aborted. */
  watch(signal: AbortSignal): AsyncIterable<DeviceStatus>
  /** Asks PID 1 to do something. */
  ask(request: ControlRequest): Promise<void>
  /** Writes a line into the log; never with a token, a signature or a key. */
  log(line: string): void
}
