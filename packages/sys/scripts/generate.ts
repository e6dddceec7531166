/**
 * Generates the kernel tables of @pkg/sys from the UAPI headers of this machine, for x86-64 and arm64.
 *
 *     bun packages/sys/scripts/generate.ts           write packages/sys/src/generated/*.ts
 *     bun packages/sys/scripts/generate.ts --check   compare the committed tables with the headers; exit 1 on a difference
 *
 * Needs gcc, gcc-aarch64-linux-gnu and the kernel's headers (linux-libc-dev comes with them). Runs no arm64 code.
 */

import { mkdirSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { emitConstants, emitErrno, emitStructs, emitSyscalls } from './emit.ts'
import { collectTables } from './tables.ts'

const folder = fileURLToPath(new URL('../src/generated/', import.meta.url))

function write(): void {
  const tables = collectTables()
  const files = {
    'syscalls.ts': emitSyscalls(tables),
    ...emitConstants(tables),
    'errno.ts': emitErrno(tables),
    'structs.ts': emitStructs(tables),
  }
  mkdirSync(`${folder}constants`, { recursive: true })
  for (const [name, text] of Object.entries(files)) {
    writeFileSync(`${folder}${name}`, text)
    process.stdout.write(`${name}: ${text.split('\n').length} lines\n`)
  }
}

if (import.meta.main) write()
