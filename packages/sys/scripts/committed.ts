/** Reads the committed tables back: the constants from the text, so that the values of both architectures are seen. */

import { readdirSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { errnoMessage, errnoName } from '../src/errno.ts'
import { errors } from '../src/generated/errno.ts'
import * as structs from '../src/generated/structs.ts'
import { headersVersion } from '../src/generated/syscalls.ts'
import { numbersOn } from '../src/raw/number.ts'
import type { Committed } from './check.ts'
import type { Layout } from './layouts.ts'
import type { PerArchitecture } from './tables.ts'

/** Where the generated files are. */
export const generatedFolder: string = fileURLToPath(new URL('../src/generated/', import.meta.url))

function parseLiteral(text: string): number | bigint | undefined {
  if (text === 'undefined') return undefined
  const value = text.startsWith('-') ? -BigInt(text.slice(1).replace('n', '')) : BigInt(text.replace('n', ''))
  return text.endsWith('n') ? value : Number(value)
}

/** The constants of one generated file, from its text. */
export function parseConstants(text: string): Record<string, PerArchitecture<number | bigint>> {
  const constants: Record<string, PerArchitecture<number | bigint>> = {}
  for (const line of text.split('\n')) {
    const match = /^export const (\w+)(?:: [^=]+)? = (?:arch === 'arm64' \? (\S+) : )?(\S+)$/.exec(line)
    if (!match || match[3] === '{') continue
    const [, name = '', arm64, x64 = ''] = match
    const values = { x64: parseLiteral(x64), arm64: parseLiteral(arm64 ?? x64) }
    constants[name] = {
      ...(values.x64 === undefined ? {} : { x64: values.x64 }),
      ...(values.arm64 === undefined ? {} : { arm64: values.arm64 }),
    }
  }
  return constants
}

function committedLayouts(): Record<string, { x64: Layout; arm64: Layout }> {
  const { layoutsByArchitecture, ...layouts } = structs
  const same = Object.entries(layouts).map(([name, layout]): [string, { x64: Layout; arm64: Layout }] => [
    name,
    { x64: layout, arm64: layout },
  ])
  return { ...Object.fromEntries(same), ...layoutsByArchitecture }
}

function committedErrors(): Committed['errors'] {
  const numbers = errors
    .trim()
    .split('\n')
    .map((line) => Number.parseInt(line, 10))
  return Object.fromEntries(numbers.map((number) => [number, [errnoName(number), errnoMessage(number)]]))
}

/** All committed tables. */
export function loadCommitted(): Committed {
  const files = readdirSync(`${generatedFolder}constants`).toSorted()
  const texts = files.map((file) => readFileSync(`${generatedFolder}constants/${file}`, 'utf8'))
  return {
    version: headersVersion,
    syscalls: { x64: Object.fromEntries(numbersOn('x64')), arm64: Object.fromEntries(numbersOn('arm64')) },
    constants: Object.assign({}, ...texts.map(parseConstants)) as Committed['constants'],
    errors: committedErrors(),
    layouts: committedLayouts(),
  }
}
