/**
 * Reads the machine that a test file asks for off its source, before anything of it runs: the file runs in that very
 * machine. So `export const machine = …` must be written out: literals, and constants of the file that are.
 */
import { readFileSync } from 'node:fs'
import { createRequire, stripTypeScriptTypes } from 'node:module'
import type { parseAst as ParseAst } from 'vitest/node'
import { MachineDefinitionError } from './errors.ts'

/** A node of the syntax tree, as ESTree has it. */
interface Node {
  readonly type: string
  readonly start: number
  readonly [field: string]: unknown
}

/** A place in a source, as errors show it. */
export interface Place {
  /** Absolute path. */
  readonly file: string
  /** From 1. */
  readonly line: number
  /** From 1. */
  readonly column: number
}

/** What a file exports as `machine`. */
export interface MachineText {
  /** As it would be when the file ran. */
  readonly value: unknown
  /** Where its option `key` is set; for one that is not, where the machine is. */
  placeOf(key: string): Place
}

/** What the file exports as `machine`, or undefined when it exports no such thing. */
export async function readMachine(file: string): Promise<MachineText | undefined> {
  const source = readFileSync(file, 'utf8')
  // Most files say nothing: no need to parse them.
  if (!/\bmachine\b/.test(source)) return undefined
  const { parseAst } = await import('vitest/node')
  return machineOf(source, file, parseAst)
}

/** The same of a source text. */
export function machineOf(source: string, file: string, parse: typeof ParseAst): MachineText | undefined {
  const program = parseSource(source, file, parse)
  if (program === undefined) return undefined
  const reader = new LiteralReader(source, file, program)
  const exported = program.find((node) => declares(node, 'machine'))
  if (exported === undefined) return undefined
  const text = initialiser(exported, 'machine') as Node
  const value = reader.read(text)
  return { value, placeOf: (key) => reader.placeOf(key, text) }
}

/** A file that cannot be parsed asks for nothing: the run itself will say what is wrong with it. */
function parseSource(source: string, file: string, parse: typeof ParseAst): Node[] | undefined {
  const lang = /\.[cm]?tsx$/.test(file) ? 'tsx' : /\.[cm]?jsx$/.test(file) ? 'jsx' : 'ts'
  try {
    return (parse(source, { lang }) as unknown as { body: Node[] }).body
  } catch {
    return parseStripped(source, parse)
  }
}

/** Vite before version 8 parses no types; Node can blank them out, which keeps every position. */
function parseStripped(source: string, parse: typeof ParseAst): Node[] | undefined {
  const strip = (
    createRequire(import.meta.url)('node:module') as { stripTypeScriptTypes?: typeof stripTypeScriptTypes }
  ).stripTypeScriptTypes
  try {
    return (parse(strip ? strip(source) : source) as unknown as { body: Node[] }).body
  } catch {
    return undefined
  }
}

function declares(node: Node, name: string): boolean {
  return node.type === 'ExportNamedDeclaration' && initialiser(node, name) !== undefined
}

/** The initialiser of `const name = …`, exported or not. */
function initialiser(statement: Node, name: string): Node | undefined {
  const declaration = (
    statement.type === 'ExportNamedDeclaration' ? statement['declaration'] : statement
  ) as Node | null
  if (declaration?.type !== 'VariableDeclaration' || declaration['kind'] !== 'const') return undefined
  const found = (declaration['declarations'] as Node[]).find(
    ({ id }) => (id as Node).type === 'Identifier' && (id as Node)['name'] === name,
  )
  return (found?.['init'] as Node | null | undefined) ?? undefined
}

/** Evaluates what can be evaluated without running anything. */
class LiteralReader {
  readonly #source: string
  readonly #file: string
  readonly #program: readonly Node[]
  /** Properties of the object that was read last: of all that are nested, the outermost. */
  #properties: readonly Node[] = []

  constructor(source: string, file: string, program: readonly Node[]) {
    this.#source = source
    this.#file = file
    this.#program = program
  }

  /** Where the property `key` of what was read is; without one, where `otherwise` is. */
  placeOf(key: string, otherwise: Node): Place {
    const named = ({ key: name }: Node): boolean =>
      [(name as Node | undefined)?.['name'], (name as Node | undefined)?.['value']].includes(key)
    return this.#place(this.#properties.find(named) ?? otherwise)
  }

  read(node: Node): unknown {
    switch (node.type) {
      case 'CallExpression':
        return this.#call(node)
      case 'TSSatisfiesExpression':
      case 'TSAsExpression':
      case 'TSNonNullExpression':
      case 'ParenthesizedExpression':
        return this.read(node['expression'] as Node)
      case 'Literal':
        return this.#literal(node)
      case 'TemplateLiteral':
        return this.#template(node)
      case 'ArrayExpression':
        return (node['elements'] as (Node | null)[]).map((one) => this.read(one ?? node))
      case 'ObjectExpression':
        return this.#object(node)
      case 'UnaryExpression':
        return this.#unary(node)
      case 'BinaryExpression':
        return this.#binary(node)
      case 'Identifier':
        return this.#identifier(node)
      default:
        return this.#fail(node)
    }
  }

  #call(node: Node): unknown {
    const callee = node['callee'] as Node
    const name = (callee.type === 'MemberExpression' ? callee['property'] : callee) as Node
    const [only, ...others] = node['arguments'] as Node[]
    if (name['name'] !== 'defineMachine' || others.length > 0) return this.#fail(node)
    return only === undefined ? {} : this.read(only)
  }

  #literal(node: Node): unknown {
    const { regex } = node as { regex?: { pattern: string; flags: string } }
    return regex ? new RegExp(regex.pattern, regex.flags) : node['value']
  }

  #template(node: Node): string {
    const parts = node['quasis'] as { value: { cooked: string } }[]
    const values = (node['expressions'] as Node[]).map((one) => String(this.read(one)))
    return parts.map(({ value }, index) => value.cooked + (values[index] ?? '')).join('')
  }

  #object(node: Node): Record<string, unknown> {
    const entries = (node['properties'] as Node[]).map((property): [string, unknown] => {
      const key = property['key'] as Node | undefined
      if (property.type !== 'Property' || key === undefined || property['method'] === true)
        return this.#fail(property)
      const name = property['computed'] === true ? this.read(key) : (key['name'] ?? key['value'])
      return [String(name), this.read(property['value'] as Node)]
    })
    this.#properties = node['properties'] as Node[]
    return Object.fromEntries(entries)
  }

  #unary(node: Node): unknown {
    const value = this.read(node['argument'] as Node)
    if (node['operator'] === '-' && typeof value === 'number') return -value
    if (node['operator'] === '!') return !value
    return this.#fail(node)
  }

  /** Sizes and times are often written as products: `2 * 1024`. */
  #binary(node: Node): unknown {
    const [left, right] = [this.read(node['left'] as Node), this.read(node['right'] as Node)]
    if (typeof left === 'string' && typeof right === 'string' && node['operator'] === '+') return left + right
    if (typeof left !== 'number' || typeof right !== 'number') return this.#fail(node)
    switch (node['operator']) {
      case '+':
        return left + right
      case '-':
        return left - right
      case '*':
        return left * right
      case '/':
        return left / right
      case '**':
        return left ** right
      case '<<':
        return left << right
      default:
        return this.#fail(node)
    }
  }

  #identifier(node: Node): unknown {
    const name = node['name'] as string
    if (name === 'undefined') return undefined
    if (name === 'Infinity') return Infinity
    for (const statement of this.#program) {
      const value = initialiser(statement, name)
      if (value !== undefined && value.start < node.start) return this.read(value)
    }
    return this.#fail(node)
  }

  #place({ start }: Node): Place {
    const before = this.#source.slice(0, start).split('\n')
    return { file: this.#file, line: before.length, column: (before.at(-1)?.length ?? 0) + 1 }
  }

  #fail(node: Node): never {
    const text = this.#source.slice(node.start, node.start + 60).split('\n')[0] ?? ''
    throw new MachineDefinitionError(
      `the machine must be written out, since it is read before the file runs: ${text} is known at run time only. ` +
        'Use literals, or constants of this file that are literals',
      this.#place(node),
    )
  }
}
