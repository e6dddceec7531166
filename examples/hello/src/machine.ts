// What machine this is, as the kernel tells it: the facts behind the page and behind /machine.json.
import { AT_FDCWD, O_CLOEXEC, O_DIRECTORY, O_RDONLY } from '@pkg/sys/constants'
import { getdents64, openat } from '@pkg/sys/fs'
import { getpid } from '@pkg/sys/process'
import { sysinfo, uname } from '@pkg/sys/system'
import { type RunningRelease, readRelease } from './boot.ts'
import { parseFields, parseSize, readText, unlessGone } from './proc.ts'
import { listProcesses, servicesGroup, type ProcessInfo } from './processes.ts'

/** One line of /proc/self/mountinfo. */
export interface Mount {
  /** Where it is attached. */
  target: string
  /** What is attached: a device, or the file system's own name for nothing. */
  source: string
  /** `proc`, `tmpfs`, `ext4` … */
  type: string
  /** Of this mount, `rw,nosuid`; not those of the file system. */
  options: string
}

/** A service: a cgroup that init made. */
export interface Service {
  name: string
  /** What the cgroup's processes use together, page cache included; null where it is not counted. */
  memoryBytes: number | null
  pids: number[]
}

/** What `/machine.json` answers. */
export interface Machine {
  kernel: { sysname: string; release: string; version: string; machine: string }
  hostname: string
  /** The appliance's release; null on a machine that Solo did not boot. */
  release: RunningRelease | null
  uptimeSeconds: number
  /** Over 1, 5 and 15 minutes. */
  loads: [number, number, number]
  memory: {
    totalBytes: number
    /** Used by nothing, not even by caches. */
    freeBytes: number
    /** What a new program could have; null where the kernel does not say. */
    availableBytes: number | null
  }
  mounts: Mount[]
  services: Service[]
  processes: ProcessInfo[]
  /** Names by uid, of those users that own a process and have a name. */
  users: Record<string, string>
  /** Processes that have ended and were not reaped. */
  zombies: number
  /** The first process; command null where /proc hides it. */
  pid1: { command: string | null; isSolo: boolean }
  /** The process that answers. */
  self: { pid: number }
}

/** Asks the kernel. Takes a few milliseconds. */
export function readMachine(): Machine {
  const { sysname, release, version, machine, nodename } = uname()
  const { uptime, loads, totalram, freeram } = sysinfo()
  const processes = listProcesses()
  const command = readCommand(1)
  return {
    kernel: { sysname, release, version, machine },
    hostname: nodename,
    release: readRelease(),
    uptimeSeconds: uptime,
    loads,
    memory: {
      totalBytes: totalram,
      freeBytes: freeram,
      availableBytes: parseSize(parseFields(readText(AT_FDCWD, '/proc/meminfo') ?? '').get('MemAvailable')),
    },
    mounts: parseMountinfo(readText(AT_FDCWD, '/proc/self/mountinfo') ?? ''),
    services: listServices(processes),
    processes,
    users: usersOf(processes, readText(AT_FDCWD, '/etc/passwd') ?? ''),
    zombies: processes.filter(({ state }) => state === 'Z').length,
    pid1: { command: command ?? null, isSolo: isSoloInit(command) },
    self: { pid: getpid() },
  }
}

/** The command line of a process, its words joined by spaces; undefined where it cannot be read. */
function readCommand(pid: number): string | undefined {
  return readText(AT_FDCWD, `/proc/${pid}/cmdline`)?.replaceAll('\0', ' ').trim() || undefined
}

/** Whether a command line is that of Bun running Solo's init. */
export function isSoloInit(command: string | undefined): boolean {
  return /(^|\/)bun (.* )?\S*\binit\.js( |$)/.test(command ?? '')
}

/** The cgroups that init made, with those that processes are in: the first may be hidden from us. */
function listServices(processes: ProcessInfo[]): Service[] {
  const path = `/sys/fs/cgroup${servicesGroup}`
  const groups = unlessGone(() => {
    using folder = openat(AT_FDCWD, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    // Everything in a cgroup's folder is either a control file, with a dot in its name, or a cgroup.
    return [...getdents64(folder)].map(({ d_name }) => d_name).filter((name) => !name.includes('.'))
  })
  const inUse = processes.map(({ service }) => service).filter((name) => name !== null)
  return [...new Set([...(groups ?? []), ...inUse])].toSorted().map((name) => {
    const memory = readText(AT_FDCWD, `${path}${name}/memory.current`)
    return {
      name,
      memoryBytes: memory === null ? null : Number(memory),
      pids: processes.filter(({ service }) => service === name).map(({ pid }) => pid),
    }
  })
}

/**
 * The lines of /proc/PID/mountinfo.
 *
 * @see https://man7.org/linux/man-pages/man5/proc_pid_mountinfo.5.html
 */
export function parseMountinfo(text: string): Mount[] {
  return text
    .split('\n')
    .filter(Boolean)
    .map((line) => {
      // Optional fields end with a lone hyphen; a space inside of a field is written as \040.
      const words = line.split(' ')
      const separator = words.indexOf('-', 6)
      const word = (at: number): string => unescapeOctal(words[at] ?? '')
      return { target: word(4), source: word(separator + 2), type: word(separator + 1), options: word(5) }
    })
}

/** `\040` → space: the kernel's `mangle()` writes space, tab, newline, backslash and # in this way. */
function unescapeOctal(text: string): string {
  return text.replaceAll(/\\([0-7]{3})/g, (_, digits: string) =>
    String.fromCodePoint(Number.parseInt(digits, 8)),
  )
}

/** Names from /etc/passwd for the users of these processes. */
export function usersOf(processes: { uid: number }[], passwd: string): Record<string, string> {
  const wanted = new Set(processes.map(({ uid }) => String(uid)))
  const users = passwd.split('\n').map((line) => line.split(':'))
  return Object.fromEntries(
    // The first of several names is the one that the C library finds.
    users.toReversed().flatMap(([name, , uid]) => (name && uid && wanted.has(uid) ? [[uid, name]] : [])),
  )
}
