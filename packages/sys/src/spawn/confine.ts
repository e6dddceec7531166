// Steps that confine a child: user namespace, what the caller wants done inside, capabilities, seccomp filter.
import { CAP_LAST_CAP } from '../generated/constants/capability.ts'
import { AT_FDCWD, O_WRONLY } from '../generated/constants/open.ts'
import {
  PR_CAPBSET_DROP,
  PR_CAP_AMBIENT,
  PR_CAP_AMBIENT_RAISE,
  PR_SET_KEEPCAPS,
  PR_SET_NO_NEW_PRIVS,
  PR_SET_SECUREBITS,
} from '../generated/constants/prctl.ts'
import { SECCOMP_SET_MODE_FILTER } from '../generated/constants/security.ts'
import { capabilitySet } from '../capability.ts'
import { isSysError, SysError } from '../errno.ts'
import { openat } from '../fs.ts'
import { write } from '../io.ts'
import type { Program, Step } from '../program.ts'
import { bytes, u32 } from '../raw/arguments.ts'
import type { IdMap, SpawnOptions } from '../spawn.ts'

/** Whether the parent must write the maps: a process may map none but itself. */
export function needsParent({ uidMap, gidMap }: SpawnOptions): boolean {
  return Array.isArray(uidMap) || Array.isArray(gidMap)
}

/**
 * Maps one user and one group into the new user namespace. A process may do that itself for its own ids; setgroups(2)
 * must be given up for it (user_namespaces(7)).
 */
export function addIdMaps(program: Program, options: SpawnOptions): void {
  if (needsParent(options)) return
  const { uidMap, gidMap } = options
  if (uidMap !== undefined) addFile(program, 'uid_map', mapText(uidMap, 'uidMap'))
  if (gidMap === undefined) return
  addFile(program, 'setgroups', 'deny')
  addFile(program, 'gid_map', mapText(gidMap, 'gidMap'))
}

/**
 * Maps ranges of users and groups into the user namespace of the child `pid`.
 *
 * @throws {@link SysError} `EPERM` without CAP_SETUID and CAP_SETGID; `EINVAL` ranges that overlap
 */
export function writeIdMaps(pid: number, { uidMap, gidMap }: SpawnOptions): void {
  for (const [name, map] of [
    ['uid_map', uidMap],
    ['gid_map', gidMap],
  ] as const) {
    if (map === undefined) continue
    const path = `/proc/${pid}/${name}`
    using file = openat(AT_FDCWD, path, O_WRONLY)
    try {
      // One write: the kernel takes a map once, and whole.
      write(file, new TextEncoder().encode(mapText(map, name)))
    } catch (error) {
      if (!isSysError(error)) throw error
      throw new SysError({ errno: -error.errno, syscall: 'spawn', path, attempt: 'write', cause: error })
    }
  }
}

/** The text of a map. */
export function mapText(map: IdMap | readonly IdMap[], name: string): string {
  return [map]
    .flat()
    .map(({ inside, outside, count = 1 }) =>
      [u32(inside, `${name}.inside`), u32(outside, `${name}.outside`), u32(count, `${name}.count`)]
        .map((id) => id >>> 0)
        .join(' '),
    )
    .join('\n')
}

function addFile(program: Program, name: string, content: string): void {
  const text = new TextEncoder().encode(content)
  const file = program.call('openat', AT_FDCWD, `/proc/self/${name}`, O_WRONLY, 0)
  program.call('write', file, text, text.length)
  program.call('close', file)
}

/**
 * Takes from the bounding set what the child is not to have, while it still may; the rest is kept through a change of
 * user.
 */
export function addBoundingSet(program: Program, { capabilities }: SpawnOptions): void {
  if (capabilities === undefined) return
  const kept = capabilitySet(...capabilities)
  for (let capability = 0; capability <= CAP_LAST_CAP; capability++) {
    if ((kept & (1n << BigInt(capability))) !== 0n) continue
    // EINVAL: the kernel is older than the headers, and has fewer.
    program.call('prctl', PR_CAPBSET_DROP, capability, 0, 0, 0).tolerate('EINVAL')
  }
  if (kept !== 0n) program.call('prctl', PR_SET_KEEPCAPS, 1, 0, 0, 0)
}

/** Leaves the child exactly `capabilities`, which are ambient too: a program that is not root keeps them. */
export function addCapabilities(program: Program, { capabilities }: SpawnOptions): void {
  if (capabilities === undefined) return
  const kept = capabilitySet(...capabilities)
  const capabilityVersion3 = 0x2008_0522
  const header = new Uint8Array(Uint32Array.of(capabilityVersion3, 0).buffer)
  const [low, high] = [Number(kept & 0xffff_ffffn), Number(kept >> 32n)]
  // Two __user_cap_data_struct: effective, permitted, inheritable of the low words, then of the high ones.
  const sets = new Uint8Array(Uint32Array.of(low, low, low, high, high, high).buffer)
  program.call('capset', header, sets)
  for (const capability of capabilities) {
    program.call('prctl', PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability, 0, 0)
  }
}

/** Sets the bits while the child still has CAP_SETPCAP. */
export function addSecurebits(program: Program, { securebits }: SpawnOptions): void {
  if (securebits === undefined) return
  program.call('prctl', PR_SET_SECUREBITS, u32(securebits, 'securebits'), 0, 0, 0)
}

/** Gives up what the ruleset does not allow. Everything that opens other files comes before. */
export function addLandlock(program: Program, ruleset: Step): void {
  program.call('prctl', PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
  program.call('landlock_restrict_self', ruleset, 0)
}

/** Installs the filter as the last step before exec: it need allow nothing but execve. */
export function addSeccomp(program: Program, { seccomp }: SpawnOptions): void {
  if (seccomp === undefined) return
  const instructions = bytes(seccomp, 'seccomp').length / 8
  if (instructions === 0 || !Number.isInteger(instructions) || instructions > 4096) {
    throw new RangeError(`seccomp: ${seccomp.length} bytes are no filter`)
  }
  program.call('prctl', PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
  // struct sock_fprog: the number of instructions, and their address.
  program.call('seccomp', SECCOMP_SET_MODE_FILTER, 0, program.words([instructions, program.memory(seccomp)]))
}
