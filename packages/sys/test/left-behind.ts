// What something that was done has left: descriptors and dead children.
import { readdirSync, readFileSync } from 'node:fs'
import { type OwnedFd, traceFds } from '../src/fd.ts'

/** How many descriptors of this package `action` made and left open. (The engine opens and closes others.) */
export async function leftOpen(action: () => unknown): Promise<number> {
  const open = new Set<OwnedFd>()
  traceFds({ opened: (fd) => open.add(fd), closed: (fd) => open.delete(fd) })
  try {
    await action()
  } finally {
    traceFds(undefined)
  }
  return open.size
}

/** How many children of this process have ended and were not reaped. */
export function zombieCount(): number {
  return readdirSync('/proc').filter((name) => /^\d+$/.test(name) && isZombieOfOurs(name)).length
}

function isZombieOfOurs(pid: string): boolean {
  try {
    // The command's name is in parentheses, and may have any in it: the state comes after the last one.
    const [state, parent] = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ').at(-1)?.split(' ') ?? []
    return state === 'Z' && parent === String(process.pid)
  } catch {
    // It is gone.
    return false
  }
}
