// Machine code as the GNU assembler writes it, to compare ours with.
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Architecture } from '../src/raw.ts'

const prefixes: Record<Architecture, string> = { x64: 'x86_64-linux-gnu-', arm64: 'aarch64-linux-gnu-' }

/** The bytes of the text section of `source`, with `symbols` defined. */
export function assemble(
  architecture: Architecture,
  source: string,
  symbols: Readonly<Record<string, bigint | number>> = {},
): Uint8Array {
  const folder = mkdtempSync(join(tmpdir(), 'solo-as-'))
  const [input, object, output] = ['in.S', 'out.o', 'out.bin'].map((name) => join(folder, name)) as [
    string,
    string,
    string,
  ]
  try {
    writeFileSync(input, source)
    const definitions = Object.entries(symbols).flatMap(([name, value]) => ['--defsym', `${name}=${value}`])
    execFileSync(`${prefixes[architecture]}as`, [...definitions, '-o', object, input])
    execFileSync(`${prefixes[architecture]}objcopy`, ['-O', 'binary', '-j', '.text', object, output])
    return new Uint8Array(readFileSync(output))
  } finally {
    rmSync(folder, { recursive: true })
  }
}

/** A file of test/fixtures. */
export function fixture(name: string): string {
  return readFileSync(join(import.meta.dirname, 'fixtures', name), 'utf8')
}
