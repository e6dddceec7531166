/** Which users and groups of the host's the guest has: all of them where we are root, else our own as its root. */
import { readFileSync, writeFileSync } from 'node:fs'

/**
 * Writes the maps of a process that waits in a new user namespace.
 *
 * Root's guests have every user by the same number. Only root may do that (user_namespaces(7), "Defining user and
 * group ID mappings"); for everybody else one user is mapped, and setgroups(2) must be given up for it.
 */
export function writeUserMaps(pid: number): void {
  if (process.geteuid?.() === 0) {
    writeFileSync(`/proc/${pid}/uid_map`, identity('/proc/self/uid_map'))
    writeFileSync(`/proc/${pid}/gid_map`, identity('/proc/self/gid_map'))
    return
  }
  writeFileSync(`/proc/${pid}/setgroups`, 'deny')
  writeFileSync(`/proc/${pid}/uid_map`, `0 ${process.geteuid?.() ?? 0} 1`)
  writeFileSync(`/proc/${pid}/gid_map`, `0 ${process.getegid?.() ?? 0} 1`)
}

/** What we have ourselves (in a container fewer than all), each under its own number. */
function identity(ours: string): string {
  const lines = readFileSync(ours, 'utf8').trim().split('\n')
  const ranges = lines.map((line) => line.trim().split(/\s+/))
  return ranges.map(([inside, , count]) => `${inside} ${inside} ${count}\n`).join('')
}
