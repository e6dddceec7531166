// The number of a system call. Pure, so that programs can be made on a host that has neither Bun nor Linux.
import { numbers, type SyscallName } from '../generated/syscalls.ts'
import { type Architecture, currentArchitecture } from './architecture.ts'

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
  const table: Readonly<Record<string, number>> = numbers[architecture]
  const number = Object.hasOwn(table, name) ? table[name] : undefined
  if (number === undefined) throw new TypeError(`${architecture} has no system call named ${name}`)
  return number
}
