// Every process of the machine, and who each of them is.
import { AT_FDCWD, O_CLOEXEC, O_DIRECTORY, O_RDONLY } from '@pkg/sys/constants'
import type { AsFd } from '@pkg/sys/fd'
import { getdents64, openat } from '@pkg/sys/fs'
import { parseFields, parseSize, readText, unlessGone } from './proc.ts'

/** Who a process is: PID 1, part of a service, a thread of the kernel, or none of these. */
export type Role = 'init' | 'service' | 'kernel' | 'other'

/** One process. */
export interface ProcessInfo {
  pid: number
  /** The parent's PID; 0 for those that the kernel started. */
  ppid: number
  /** The kernel's short name for it, at most 15 bytes. */
  name: string
  /** One letter: R running, S sleeping, D in uninterruptible sleep, I idle, T stopped, Z zombie. */
  state: string
  /** Its effective user. */
  uid: number
  /** Path in the cgroup2 hierarchy; null where it cannot be read. */
  cgroup: string | null
  /** Its memory that is in RAM; 0 for kernel threads and zombies, which have none. */
  residentBytes: number
  role: Role
  /** Name of the service that it belongs to. */
  service: string | null
}

/** init puts each service into a cgroup of this folder. */
export const servicesGroup = '/solo/'

/** `PF_KTHREAD` of linux/sched.h, in the 9th field of /proc/PID/stat. */
const kernelThreadFlag = 0x0020_0000

/** All processes that /proc shows us, by PID. */
export function listProcesses(): ProcessInfo[] {
  using proc = openat(AT_FDCWD, '/proc', O_RDONLY | O_DIRECTORY | O_CLOEXEC)
  return [...getdents64(proc)]
    .map(({ d_name }) => d_name)
    .filter((name) => /^\d+$/.test(name))
    .map((pid) => readProcess(proc, pid))
    .filter((found) => found !== null)
    .toSorted((a, b) => a.pid - b.pid)
}

/** One process; null when it has ended. */
function readProcess(proc: AsFd, pid: string): ProcessInfo | null {
  return unlessGone(() => {
    // The open folder stays this process's: its number may go to another one while we read.
    using folder = openat(proc, pid, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    const status = readText(folder, 'status')
    const stat = readText(folder, 'stat')
    if (status === null || stat === null) return null
    return describeProcess(status, stat, readText(folder, 'cgroup'))
  })
}

/**
 * What the three files of /proc/PID say together.
 *
 * @see https://man7.org/linux/man-pages/man5/proc_pid_status.5.html
 */
export function describeProcess(status: string, stat: string, cgroups: string | null): ProcessInfo {
  const fields = parseFields(status)
  const pid = Number(fields.get('Pid'))
  const cgroup = cgroups === null ? null : parseCgroup(cgroups)
  const service = serviceOf(cgroup)
  const isKernel = (parseStatFlags(stat) & kernelThreadFlag) !== 0
  return {
    pid,
    ppid: Number(fields.get('PPid')),
    name: fields.get('Name') ?? '',
    state: fields.get('State')?.charAt(0) ?? '?',
    // Real, effective, saved, file system: the effective one decides what it may do.
    uid: Number(fields.get('Uid')?.split(/\s+/)[1]),
    cgroup,
    residentBytes: parseSize(fields.get('VmRSS')) ?? 0,
    role: roleOf(pid, isKernel, service),
    service,
  }
}

function roleOf(pid: number, isKernel: boolean, service: string | null): Role {
  if (pid === 1) return 'init'
  if (isKernel) return 'kernel'
  return service === null ? 'other' : 'service'
}

/** The flags in /proc/PID/stat. The name before them may hold spaces and brackets: count from the last one. */
export function parseStatFlags(stat: string): number {
  const afterName = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  // state ppid pgrp session tty_nr tpgid flags
  return Number(afterName[6] ?? 0)
}

/** The cgroup2 path in /proc/PID/cgroup: the line of hierarchy 0. */
export function parseCgroup(text: string): string | null {
  const line = text.split('\n').find((candidate) => candidate.startsWith('0::'))
  return line === undefined ? null : line.slice('0::'.length)
}

/** `web` for `/solo/web` and everything below it. */
export function serviceOf(cgroup: string | null): string | null {
  if (!cgroup?.startsWith(servicesGroup)) return null
  return (
    cgroup
      .slice(servicesGroup.length)
      .split('/')[0]
      ?.replace(/ \(deleted\)$/, '') || null
  )
}
