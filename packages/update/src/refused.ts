/** Why a release is not taken. */

/**
 * The check that a release did not pass.
 *
 * | check | the release … |
 * | --- | --- |
 * | `format` | is not well formed, is too large, or contradicts itself |
 * | `signature` | has a signature that is not valid, or none by a key that the device knows |
 * | `threshold` | is signed by fewer keys than the device asks for |
 * | `revoked` | is signed by a revoked key, and would not be enough without it |
 * | `trust` | brings trust documents that do not follow from the device's own |
 * | `expired` | comes by a channel pointer, or under a trust document, whose time has passed |
 * | `channel` | comes by a pointer of another channel or to another release, or without the pointer that it needs |
 * | `appliance`, `board`, `architecture` | is made for something else |
 * | `counter` | is older than what this device has run |
 * | `minimum-counter` | is too new a step for what runs now |
 * | `same-release` | is the one that runs |
 * | `digest`, `size` | has a blob of other bytes, or of another length, than was signed |
 * | `unblessed` | comes during a trial, or in the last try of a slot that has become unwell |
 * | `space` | does not fit |
 * | `busy` | comes while another is being installed |
 * | `stick` | is on no medium that is plugged in |
 * | `slot` | comes to a machine that has no second slot |
 */
export type RefusedCheck =
  | 'format'
  | 'signature'
  | 'threshold'
  | 'revoked'
  | 'trust'
  | 'expired'
  | 'channel'
  | 'appliance'
  | 'board'
  | 'architecture'
  | 'counter'
  | 'minimum-counter'
  | 'same-release'
  | 'digest'
  | 'size'
  | 'unblessed'
  | 'space'
  | 'busy'
  | 'stick'
  | 'slot'

/**
 * A release, or a document of one, is refused. The message says what was expected and what was found; nothing on the
 * device has changed.
 *
 * @example
 * ```ts
 * import { UpdateRefused } from '@pkg/update/refused'
 *
 * const error = new UpdateRefused('board', 'the release is for board pc, this device is rpi4')
 * console.log(error.check, error.message)
 * ```
 */
export class UpdateRefused extends Error {
  override name = 'UpdateRefused'
  /** Which check failed. */
  readonly check: RefusedCheck

  constructor(check: RefusedCheck, message: string, options: { cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.check = check
  }
}
