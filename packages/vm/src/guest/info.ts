/** What the guest knows of itself. */
import { CLOCK_BOOTTIME } from '@pkg/sys/constants'
import { uname } from '@pkg/sys/system'
import { clock_gettime } from '@pkg/sys/time'
import { readFileSync } from 'node:fs'
import type { GuestInfo, GuestMount } from '../agent/protocol.ts'

/** Clock, memory, mounts, names. */
export function guestInfo(): GuestInfo {
  const { release, nodename } = uname()
  const memory = readFileSync('/proc/meminfo', 'utf8')
  return {
    clockMs: Date.now(),
    uptimeMs: Number(clock_gettime(CLOCK_BOOTTIME)) / 1e6,
    memory: { totalBytes: meminfo(memory, 'MemTotal'), availableBytes: meminfo(memory, 'MemAvailable') },
    mounts: mounts(),
    release,
    hostname: nodename,
  }
}

function meminfo(text: string, field: string): number {
  return Number(new RegExp(`^${field}:\\s+(\\d+) kB`, 'm').exec(text)?.[1] ?? 0) * 1024
}

/** /proc/self/mountinfo: spaces and the like are octal in it (proc_pid_mountinfo(5)). */
function mounts(): GuestMount[] {
  const lines = readFileSync('/proc/self/mountinfo', 'utf8').trimEnd().split('\n')
  return lines.map((line) => {
    const [mount = '', superblock = ''] = line.split(' - ')
    const [, , , , target = '', flags = ''] = mount.split(' ').map(unescape)
    const [type = '', source = '', options = ''] = superblock.split(' ').map(unescape)
    return {
      target,
      source,
      type,
      options: [...new Set([...flags.split(','), ...options.split(',')])].join(),
    }
  })
}

function unescape(text: string): string {
  return text.replaceAll(/\\([0-7]{3})/g, (_, octal: string) =>
    String.fromCharCode(Number.parseInt(octal, 8)),
  )
}

/** Where something is mounted. */
export function mountedTargets(): ReadonlySet<string> {
  return new Set(mounts().map(({ target }) => target))
}
