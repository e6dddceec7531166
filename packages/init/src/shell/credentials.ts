/** Changing the user of a program that is started, where there is something to change. */
import { isSysError } from '@pkg/sys/errno'
import { getgid, getuid } from '@pkg/sys/process'
import type { SpawnOptions } from '@pkg/sys/spawn'
import { readText } from './text-file.ts'

/** Who a program runs as. */
export interface ProgramUser {
  /** User id. */
  readonly uid: number
  /** Group id. */
  readonly gid: number
  /** Supplementary groups. */
  readonly groups: readonly number[]
}

/**
 * Who a program runs as, as options of spawn. Where PID 1 is already that user and is not root, or is root of a user namespace that
 * forbids setgroups(2) (user_namespaces(7)), there is nothing to change, and the kernel would refuse to.
 */
export function credentials({ uid, gid, groups }: ProgramUser): Partial<SpawnOptions> {
  const self = getuid()
  if (self !== 0 && self === uid && getgid() === gid && groups.length === 0) return {}
  return groups.length === 0 && !maySetGroups() ? { uid, gid } : { uid, gid, groups }
}

function maySetGroups(): boolean {
  try {
    return readText('/proc/self/setgroups').trim() !== 'deny'
  } catch (error) {
    if (isSysError(error)) return true
    throw error
  }
}
