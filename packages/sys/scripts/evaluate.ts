/**
 * Asks a C compiler for the values of expressions without running anything: they are compiled into an array,
 * and the array is read from the object file. So arm64 is asked on an x86-64 machine too.
 */

import { spawnSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Toolchain } from './headers.ts'

const EM_X86_64 = 62
const EM_AARCH64 = 183

/** The bytes of a section of a little-endian ELF64 object; see elf(5). */
export function readSection(object: Uint8Array, wanted: string): Uint8Array {
  const data = new DataView(object.buffer, object.byteOffset, object.byteLength)
  const machine = data.getUint16(18, true)
  if (
    data.getUint32(0) !== 0x7f454c46 ||
    object[4] !== 2 ||
    (machine !== EM_X86_64 && machine !== EM_AARCH64)
  ) {
    throw new Error('not an ELF64 object of x86-64 or arm64')
  }
  const tableOffset = Number(data.getBigUint64(40, true))
  const entrySize = data.getUint16(58, true)
  const count = data.getUint16(60, true)
  const header = (index: number): { name: number; offset: number; size: number } => {
    const at = tableOffset + index * entrySize
    return {
      name: data.getUint32(at, true),
      offset: Number(data.getBigUint64(at + 24, true)),
      size: Number(data.getBigUint64(at + 32, true)),
    }
  }
  const names = header(data.getUint16(62, true))
  for (let index = 0; index < count; index++) {
    const { name, offset, size } = header(index)
    const start = names.offset + name
    const end = object.indexOf(0, start)
    if (new TextDecoder().decode(object.subarray(start, end)) === wanted)
      return object.subarray(offset, offset + size)
  }
  throw new Error(`the object has no section ${wanted}`)
}

/** Compiles C text to an object. `compileErrors` are the numbers of the lines of `questions` that are not C. */
function compile(
  toolchain: Toolchain,
  text: string,
  flags: readonly string[],
): { object?: Uint8Array; messages: string } {
  const output = join(toolchain.folder, 'question.o')
  const source = join(toolchain.folder, 'question.c')
  writeFileSync(source, text)
  const args = [
    ...toolchain.flags,
    '-w',
    '-c',
    '-fmax-errors=0',
    '-ftrack-macro-expansion=0',
    ...flags,
    source,
    '-o',
    output,
  ]
  const result = spawnSync(toolchain.compiler, args, {
    encoding: 'utf8',
    maxBuffer: 1 << 28,
    env: { ...process.env, LC_ALL: 'C' },
  })
  if (result.error) throw new Error(`${toolchain.compiler} cannot be run`, { cause: result.error })
  return result.status === 0 ? { object: readFileSync(output), messages: '' } : { messages: result.stderr }
}

/** Compiles the toolchain's headers with `text` after them; throws the compiler's messages when that fails. */
export function compileObject(toolchain: Toolchain, text: string, flags: readonly string[] = []): Uint8Array {
  const { object, messages } = compile(toolchain, `${toolchain.prologue}\n${text}`, flags)
  if (!object) throw new Error(`${toolchain.compiler} rejects the headers:\n${messages.slice(0, 4000)}`)
  return object
}

/** Which of the expressions are integer constant expressions in the scope of the headers. */
function constantExpressions(toolchain: Toolchain, expressions: readonly string[]): Set<string> {
  // `* 1` rejects strings and structs; the line number of a message says which expression it is about.
  let accepted = [...expressions]
  for (;;) {
    const lines = accepted.map(
      (expression, index) => `const long long v${index} = (long long)((${expression}) * 1);`,
    )
    const { object, messages } = compile(
      toolchain,
      `${toolchain.prologue}\n# 1 "questions"\n${lines.join('\n')}\n`,
      [],
    )
    if (object) return new Set(accepted)
    const rejected = new Set(
      [...messages.matchAll(/^questions:(\d+):\d+: error/gm)].map((match) => Number(match[1]) - 1),
    )
    if (rejected.size === 0)
      throw new Error(`${toolchain.compiler} rejects the headers:\n${messages.slice(0, 4000)}`)
    accepted = accepted.filter((_, index) => !rejected.has(index))
  }
}

/**
 * The values of those expressions that are integer constants, exactly: an unsigned 64-bit value stays positive.
 * Expressions that are not constants (or not defined in these headers) are left out.
 */
export function evaluate(toolchain: Toolchain, expressions: readonly string[]): Map<string, bigint> {
  const accepted = constantExpressions(toolchain, expressions)
  const list = expressions.filter((expression) => accepted.has(expression))
  if (list.length === 0) return new Map()
  const object = compileObject(
    toolchain,
    `const long long solo_values[] __attribute__((section(".solo.values"))) = {\n${list.map((e) => `(long long)(${e}),`).join('\n')}\n};
const char solo_negative[] __attribute__((section(".solo.negative"))) = {\n${list.map((e) => `((${e}) < 0),`).join('\n')}\n};`,
  )
  const values = readSection(object, '.solo.values')
  const negative = readSection(object, '.solo.negative')
  const view = new DataView(values.buffer, values.byteOffset, values.byteLength)
  return new Map(
    list.map((expression, index) => {
      const at = index * 8
      return [expression, negative[index] ? view.getBigInt64(at, true) : view.getBigUint64(at, true)] as const
    }),
  )
}
