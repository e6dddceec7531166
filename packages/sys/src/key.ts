// The kernel's key rings: secrets that it keeps for processes, users and sessions.
import {
  KEYCTL_CHOWN,
  KEYCTL_CLEAR,
  KEYCTL_DESCRIBE,
  KEYCTL_GET_KEYRING_ID,
  KEYCTL_GET_PERSISTENT,
  KEYCTL_INVALIDATE,
  KEYCTL_JOIN_SESSION_KEYRING,
  KEYCTL_LINK,
  KEYCTL_MOVE,
  KEYCTL_READ,
  KEYCTL_RESTRICT_KEYRING,
  KEYCTL_REVOKE,
  KEYCTL_SEARCH,
  KEYCTL_SETPERM,
  KEYCTL_SET_TIMEOUT,
  KEYCTL_UNLINK,
  KEYCTL_UPDATE,
} from './generated/constants/security.ts'
import { check } from './errno.ts'
import { bind } from './raw.ts'
import { bytes, cString, fromCString, optionalCString, u32 } from './raw/arguments.ts'

const raw = {
  addKey: bind('add_key', 'ptr', 'ptr', 'ptr', 'int', 'int'),
  requestKey: bind('request_key', 'ptr', 'ptr', 'ptr', 'int'),
  keyctl: bind('keyctl', 'int', 'int', 'int', 'int', 'int'),
  keyctlMemory: bind('keyctl', 'int', 'int', 'ptr', 'int', 'int'),
  keyctlString: bind('keyctl', 'int', 'ptr', 'int', 'int', 'int'),
  keyctlSearch: bind('keyctl', 'int', 'int', 'ptr', 'ptr', 'int'),
}

/**
 * `add_key(type, description, payload, plen, keyring)` — makes a key, or gives one of that name a new payload; returns its
 * number.
 *
 * @param type - `user`, `logon` (cannot be read back), `keyring` (without payload), `big_key` …
 * @param keyring - KEY_SPEC_PROCESS_KEYRING, KEY_SPEC_SESSION_KEYRING, KEY_SPEC_USER_KEYRING, or a number
 * @throws {@link SysError} `EDQUOT` the user's share is used up; `EINVAL` no such type; `EACCES`; `ENOSYS`
 * @see https://man7.org/linux/man-pages/man2/add_key.2.html
 *
 * @example
 * ```ts
 * import { KEY_SPEC_PROCESS_KEYRING } from '@pkg/sys/constants'
 * import { add_key, keyctl_read } from '@pkg/sys/key'
 *
 * const secret = new TextEncoder().encode('swordfish')
 * const key = add_key('user', 'example', secret, KEY_SPEC_PROCESS_KEYRING)
 * console.assert(new TextDecoder().decode(keyctl_read(key)) === 'swordfish')
 * ```
 */
export function add_key(
  type: string,
  description: string,
  payload: Uint8Array | null,
  keyring: number,
): number {
  const data = payload === null ? null : bytes(payload, 'payload')
  const result = raw.addKey(
    cString(type, 'type'),
    cString(description, 'description'),
    data,
    data?.length ?? 0,
    u32(keyring, 'keyring'),
  )
  return check(result, 'add_key', description)
}

/**
 * `request_key(type, description, callout_info, dest_keyring)` — finds a key in the process's rings; returns its number.
 *
 * @param calloutInfo - null: no program is asked to make one. Otherwise it may block until /sbin/request-key has
 * @param keyring - where the key is linked too; 0 for nowhere
 * @throws {@link SysError} `ENOKEY` there is none; `EKEYREVOKED`, `EKEYEXPIRED`
 * @see https://man7.org/linux/man-pages/man2/request_key.2.html
 */
export function request_key(
  type: string,
  description: string,
  calloutInfo: string | null = null,
  keyring = 0,
): number {
  const result = raw.requestKey(
    cString(type, 'type'),
    cString(description, 'description'),
    optionalCString(calloutInfo, 'calloutInfo'),
    u32(keyring, 'keyring'),
  )
  return check(result, 'request_key', description)
}

function call(operation: number, key: number, argument = 0): number {
  return check(raw.keyctl(operation, u32(key, 'key'), argument, 0, 0), 'keyctl')
}

/** What a key holds or is: as large as it says, at most 1 MiB. */
function memory(operation: number, key: number): Uint8Array {
  for (let room = 256; ;) {
    const buffer = new Uint8Array(new ArrayBuffer(room))
    const sizeBytes = check(raw.keyctlMemory(operation, u32(key, 'key'), buffer, room, 0), 'keyctl')
    if (sizeBytes <= room) return buffer.slice(0, sizeBytes)
    room = sizeBytes
  }
}

/**
 * `keyctl(KEYCTL_READ, key, buffer, size)` — a key's payload; of a ring the numbers of its keys, 4 bytes each.
 *
 * @throws {@link SysError} `EACCES`; `ENOKEY`; `EKEYREVOKED`; `EOPNOTSUPP` a type that cannot be read
 * @see https://man7.org/linux/man-pages/man3/keyctl_read.3.html
 */
export function keyctl_read(key: number): Uint8Array {
  return memory(KEYCTL_READ, key)
}

/** What a key is. */
export interface KeyDescription {
  /** `user`, `keyring` … */
  type: string
  /** Its owner. */
  uid: number
  /** Its group. */
  gid: number
  /** KEY_POS_*, KEY_USR_* … */
  permissions: number
  /** Its name. */
  description: string
}

/** `keyctl(KEYCTL_DESCRIBE, key, buffer, size)` — what a key is. */
export function keyctl_describe(key: number): KeyDescription {
  // type;uid;gid;perm;description — the last may hold semicolons itself.
  const [type = '', uid = '', gid = '', permissions = '', ...description] = fromCString(
    memory(KEYCTL_DESCRIBE, key),
  ).split(';')
  return {
    type,
    uid: Number(uid),
    gid: Number(gid),
    permissions: Number.parseInt(permissions, 16),
    description: description.join(';'),
  }
}

/** `keyctl(KEYCTL_UPDATE, key, payload, plen)` — gives a key a new payload. */
export function keyctl_update(key: number, payload: Uint8Array): void {
  const data = bytes(payload, 'payload')
  check(raw.keyctlMemory(KEYCTL_UPDATE, u32(key, 'key'), data, data.length, 0), 'keyctl')
}

/** `keyctl(KEYCTL_REVOKE, key)` — makes a key unusable: `EKEYREVOKED` from then on. */
export function keyctl_revoke(key: number): void {
  call(KEYCTL_REVOKE, key)
}

/** `keyctl(KEYCTL_INVALIDATE, key)` — removes a key everywhere, soon. */
export function keyctl_invalidate(key: number): void {
  call(KEYCTL_INVALIDATE, key)
}

/** `keyctl(KEYCTL_LINK, key, keyring)` — puts a key into a ring too. */
export function keyctl_link(key: number, keyring: number): void {
  call(KEYCTL_LINK, key, u32(keyring, 'keyring'))
}

/** `keyctl(KEYCTL_UNLINK, key, keyring)` — takes a key out of a ring; the last link's end is the key's. */
export function keyctl_unlink(key: number, keyring: number): void {
  call(KEYCTL_UNLINK, key, u32(keyring, 'keyring'))
}

/** `keyctl(KEYCTL_CLEAR, keyring)` — takes all keys out of a ring. */
export function keyctl_clear(keyring: number): void {
  call(KEYCTL_CLEAR, keyring)
}

/**
 * `keyctl(KEYCTL_SEARCH, keyring, type, description, dest)` — finds a key in a ring and those in it; returns its number.
 *
 * @throws {@link SysError} `ENOKEY` there is none
 * @see https://man7.org/linux/man-pages/man3/keyctl_search.3.html
 */
export function keyctl_search(keyring: number, type: string, description: string): number {
  const ring = u32(keyring, 'keyring')
  const [kind, name] = [cString(type, 'type'), cString(description, 'description')]
  return check(raw.keyctlSearch(KEYCTL_SEARCH, ring, kind, name, 0), 'keyctl', description)
}

/**
 * `keyctl(KEYCTL_SETPERM, key, perm)` — sets who may do what with a key.
 *
 * @param permissions - four bytes: possessor, user, group, others; bits 1 view, 2 read, 4 write, 8 search, 0x10 link,
 * 0x20 set attributes
 */
export function keyctl_setperm(key: number, permissions: number): void {
  call(KEYCTL_SETPERM, key, u32(permissions, 'permissions') >>> 0)
}

/** `keyctl(KEYCTL_SET_TIMEOUT, key, timeout)` — lets a key expire in so many seconds; 0: never. */
export function keyctl_set_timeout(key: number, timeoutS: number): void {
  call(KEYCTL_SET_TIMEOUT, key, u32(timeoutS, 'timeoutS') >>> 0)
}

/** `keyctl(KEYCTL_GET_KEYRING_ID, keyring, create)` — the number of a ring of the caller's: KEY_SPEC_*. */
export function keyctl_get_keyring_id(keyring: number, create = false): number {
  return call(KEYCTL_GET_KEYRING_ID, keyring, create ? 1 : 0)
}

/**
 * `keyctl(KEYCTL_JOIN_SESSION_KEYRING, name)` — gives the process a new session ring (null), or that of a name.
 *
 * Changes the calling thread alone: rings are part of a thread's credentials.
 */
export function keyctl_join_session_keyring(name: string | null = null): number {
  const text = optionalCString(name, 'name')
  return check(raw.keyctlString(KEYCTL_JOIN_SESSION_KEYRING, text, 0, 0, 0), 'keyctl')
}

/**
 * `keyctl(KEYCTL_CHOWN, key, uid, gid)` — gives a key to another user and group; −1 leaves one as it is.
 *
 * @throws {@link SysError} `EACCES` without CAP_SYS_ADMIN, but to a group of the caller's; `EDQUOT` the new owner's share is
 * used up
 * @see https://man7.org/linux/man-pages/man3/keyctl_chown.3.html
 */
export function keyctl_chown(key: number, uid: number, gid: number): void {
  const result = raw.keyctl(KEYCTL_CHOWN, u32(key, 'key'), u32(uid, 'uid'), u32(gid, 'gid'), 0)
  check(result, 'keyctl')
}

/**
 * `keyctl(KEYCTL_MOVE, key, from, to, flags)` — puts a key into one ring and takes it out of another, at once. In kernels
 * since Linux 5.3.
 *
 * @param flags - KEYCTL_MOVE_EXCL: not where a key of that name is
 * @throws {@link SysError} `EEXIST` by that flag; `ENOENT` it is not in `from`; `EACCES`
 * @see https://man7.org/linux/man-pages/man3/keyctl_move.3.html
 */
export function keyctl_move(key: number, from: number, to: number, flags = 0): void {
  const result = raw.keyctl(
    KEYCTL_MOVE,
    u32(key, 'key'),
    u32(from, 'from'),
    u32(to, 'to'),
    u32(flags, 'flags'),
  )
  check(result, 'keyctl')
}

/**
 * `keyctl(KEYCTL_RESTRICT_KEYRING, keyring, type, restriction)` — says for good which keys may be linked to a ring.
 *
 * @param type - whose rule it is: `asymmetric`; null: none may any more
 * @param restriction - the rule by the type's own words: `builtin_trusted`
 * @throws {@link SysError} `EEXIST` it has a rule; `EPERM` of later links; `ENOENT` the type knows no rules
 * @see https://man7.org/linux/man-pages/man3/keyctl_restrict_keyring.3.html
 */
export function keyctl_restrict_keyring(
  keyring: number,
  type: string | null = null,
  restriction: string | null = null,
): void {
  const [kind, rule] = [optionalCString(type, 'type'), optionalCString(restriction, 'restriction')]
  check(raw.keyctlSearch(KEYCTL_RESTRICT_KEYRING, u32(keyring, 'keyring'), kind, rule, 0), 'keyctl')
}

/**
 * `keyctl(KEYCTL_GET_PERSISTENT, uid, keyring)` — links the ring of a user that outlives all sessions, until it was not
 * asked for in three days (/proc/sys/kernel/keys/persistent_keyring_expiry); returns its number.
 *
 * @param uid - −1: the caller's own; another's needs CAP_SETUID
 * @param keyring - where it is linked
 * @throws {@link SysError} `EPERM`; `EOPNOTSUPP` a kernel without
 * @see https://man7.org/linux/man-pages/man3/keyctl_get_persistent.3.html
 */
export function keyctl_get_persistent(uid: number, keyring: number): number {
  return call(KEYCTL_GET_PERSISTENT, uid, u32(keyring, 'keyring'))
}
