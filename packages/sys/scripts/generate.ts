/**
 * Generates the kernel tables of @pkg/sys from the UAPI headers of this machine, for x86-64 and arm64.
 *
 *     bun packages/sys/scripts/generate.ts           write packages/sys/src/generated/
 *     bun packages/sys/scripts/generate.ts --check   compare the committed tables with the headers; exit 1 on a difference
 *
 * The tables come from the newest headers that Debian has: unpack `linux-libc-dev` of unstable (`dpkg-deb -x`) and say
 * where with SOLO_UAPI=<folder>. The committed ones are of 7.2.13-1, sha256
 * 8b33c2a408bbab537e753102dce181dc211007f64c1e2516065bc677f60d5d99. Without SOLO_UAPI this machine's headers are asked.
 *
 * Needs gcc, gcc-aarch64-linux-gnu and the kernel's headers (linux-libc-dev comes with them). Runs no arm64 code.
 */

import { mkdirSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { emitConstants, emitErrno, emitStructs, emitSyscalls } from './emit.ts'
import { collectTables, type Tables } from './tables.ts'

/** The text of every generated file by its path in `src/generated/`. */
export const generatedFiles = (tables: Tables): Record<string, string> => ({
  'syscalls.ts': emitSyscalls(tables),
  ...emitConstants(tables),
  'errno.ts': emitErrno(tables),
  ...emitStructs(tables),
})

function write(): void {
  const folder = fileURLToPath(new URL('../src/generated/', import.meta.url))
  const files = generatedFiles(collectTables())
  for (const name of ['constants', 'structs']) mkdirSync(`${folder}${name}`, { recursive: true })
  for (const [name, text] of Object.entries(files)) {
    writeFileSync(`${folder}${name}`, text)
    process.stdout.write(`${name}: ${text.split('\n').length} lines\n`)
  }
}

/** True when nothing differs. The tables are imported here, for there are none before the first run. */
async function compare(): Promise<boolean> {
  const [{ check }, { loadCommitted }] = await Promise.all([import('./check.ts'), import('./committed.ts')])
  const { differences, notes, compared } = check(loadCommitted())
  for (const note of notes) process.stdout.write(`note: ${note}\n`)
  for (const difference of differences) process.stdout.write(`DIFFERENCE: ${difference}\n`)
  process.stdout.write(`${compared} values compared, ${differences.length} differences\n`)
  return differences.length === 0
}

if (import.meta.main) {
  const [option, ...rest] = process.argv.slice(2)
  if (rest.length > 0 || (option !== undefined && option !== '--check')) {
    process.stderr.write('usage: bun packages/sys/scripts/generate.ts [--check]\n')
    process.exitCode = 2
  } else if (option === '--check') process.exitCode = (await compare()) ? 0 : 1
  else write()
}
