/**
 * Says which system calls @pkg/sys wraps: per architecture how many there are, how many can be called by name, how many
 * have a wrapper whose effect a test shows, and which have none.
 *
 *     npm run syscalls                 the table
 *     npm run syscalls -- --json       { x64: { total, callable, wrapped, unexplained }, arm64: { … } }
 *     npm run syscalls -- --list       every call with its wrappers or the reason
 *     bun scripts/syscalls.ts --write  writes packages/sys/NOT-WRAPPED.md
 */
import { writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import {
  count,
  notWrappedText,
  type SyscallStatus,
  syscallStatuses,
} from '../packages/sys/scripts/wrapped/table.ts'

const architectures = ['x64', 'arm64'] as const

function table(statuses: readonly SyscallStatus[]): string {
  const rows = architectures.map((architecture) => {
    const { total, callable, wrapped, unexplained } = count(statuses, architecture)
    return [architecture, total, callable, wrapped, total - wrapped, unexplained]
  })
  const lines = [['', 'total', 'callable', 'wrapped', 'not wrapped', 'of these unexplained'], ...rows]
  return lines.map((line) => line.map((cell) => String(cell).padStart(12)).join(' ')).join('\n')
}

function list(statuses: readonly SyscallStatus[]): string {
  return statuses
    .map(({ name, wrappers, untested, reason }) => {
      const why = reason ?? (untested.length > 0 ? `no test of ${untested.join(', ')}` : 'unexplained')
      return `${name.padEnd(28)} ${wrappers.length > 0 ? wrappers.join(', ') : `– ${why}`}`
    })
    .join('\n')
}

const statuses = syscallStatuses()
const [option, ...rest] = process.argv.slice(2)
if (rest.length > 0 || !['--json', '--list', '--write', undefined].includes(option)) {
  process.stderr.write('usage: npm run syscalls [-- --json | --list | --write]\n')
  process.exitCode = 2
} else if (option === '--json') {
  const counts = architectures.map((architecture) => [architecture, count(statuses, architecture)])
  process.stdout.write(`${JSON.stringify(Object.fromEntries(counts), null, 2)}\n`)
} else if (option === '--list') process.stdout.write(`${list(statuses)}\n`)
else if (option === '--write') {
  writeFileSync(
    fileURLToPath(new URL('../packages/sys/NOT-WRAPPED.md', import.meta.url)),
    notWrappedText(statuses),
  )
} else process.stdout.write(`${table(statuses)}\n`)
