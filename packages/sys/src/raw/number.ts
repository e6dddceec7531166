// The two architectures that Solo speaks, and the numbers of system calls on them. Pure, so that programs can be made on
// a host that has neither Bun nor Linux.
import { numbers, type SyscallName } from '../generated/syscalls.ts'

/** An architecture by Node's name for it. */
export type Architecture = 'x64' | 'arm64'

/**
 * The architecture of this process.
 *
 * @throws TypeError on any other architecture or operating system, before any system call is made
 */
export function currentArchitecture(): Architecture {
  const { arch, platform } = process
  if (platform !== 'linux' || (arch !== 'x64' && arch !== 'arm64')) {
    throw new TypeError(`@pkg/sys makes Linux system calls on x64 and arm64; this is ${platform} on ${arch}`)
  }
  return arch
}

const tables = new Map<Architecture, ReadonlyMap<string, number>>()

/** The numbers of all system calls that `architecture` has, by their names. */
export function numbersOn(architecture: Architecture): ReadonlyMap<string, number> {
  const known = tables.get(architecture)
  if (known !== undefined) return known
  const rows = numbers[architecture].matchAll(/(\w+) (\d+)/g)
  const table = new Map([...rows].map(([, name = '', number]) => [name, Number(number)]))
  tables.set(architecture, table)
  return table
}

/**
 * The number of a system call.
 *
 * @throws TypeError when `architecture` has no call of that name (`mkdir` on arm64, say)
 *
 * @example
 * ```ts
 * import { syscallNumber } from '@pkg/sys/raw'
 *
 * console.assert(syscallNumber('getppid', 'x64') === 110)
 * console.assert(syscallNumber('getppid', 'arm64') === 173)
 * ```
 */
export function syscallNumber(name: SyscallName, architecture: Architecture = currentArchitecture()): number {
  const number = numbersOn(architecture).get(name)
  if (number === undefined) throw new TypeError(`${architecture} has no system call named ${name}`)
  return number
}
