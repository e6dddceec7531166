/**
 * Compares the committed tables with the headers of this machine.
 *
 * It asks the compiler for what is committed, by other questions than those that made the tables: values by
 * name, sizes and offsets by sizeof and offsetof. Headers that are newer may have more constants, greater bounds
 * (`IFLA_MAX`) and structs that grew at the end; older ones the reverse. Neither may say anything else of a name.
 */

import { evaluate } from './evaluate.ts'
import { type Architecture, findNames, type Toolchain } from './headers.ts'
import { typeName, layoutName, type Field, type Layout } from './layouts.ts'
import { extraConstants } from './selection/headers.ts'
import { kernelStructs, libcStructs, namedLayouts } from './selection/structs.ts'
import { versionOf, withToolchains, type PerArchitecture } from './tables.ts'

/** The tables as committed, for both architectures. */
export interface Committed {
  /** LINUX_VERSION_CODE of the headers that they come from. */
  readonly version: number
  readonly syscalls: Record<Architecture, Readonly<Record<string, number>>>
  readonly constants: Readonly<Record<string, PerArchitecture<number | bigint>>>
  /** Numbers with their names. */
  readonly errors: Readonly<Record<number, readonly [name: string, message: string]>>
  readonly layouts: Readonly<Record<string, Record<Architecture, Layout>>>
}

/** What a check found. */
export interface CheckResult {
  /** Each is a fault: a committed value that the headers contradict. */
  readonly differences: string[]
  /** What headers of another version may say: a name that they lack, a bound that grew. */
  readonly notes: string[]
  /** How many values, sizes and offsets were compared. */
  readonly compared: number
}

/** Bounds, versions and unions of all flags: these grow with the kernel. */
const growing =
  /(^|_)MAX(_|$)|^NSIG|(_LAST|_LAST_CAP|_SUPPORTED|_ALL|_MASK|_CNT|_COUNT|_NUM|_SIZE|_BITS|_FEATURES|_EVENTS|_FLAGS)$|_VERSION(_|$)|_IOCTLS(_|$)/

/**
 * Sizes and masks that the kernel itself moved between 6.1 and 7.2, in either direction. They describe a set of other
 * names, and no call takes them.
 */
const moving = /^(AT_VECTOR_SIZE_ARCH|FF_EFFECT_MIN|FUTEX_CMD_MASK|SECURE_ALL_LOCKS|TCP_RESERVED_BITS)$/

class Comparison {
  readonly differences: string[] = []
  readonly notes: string[] = []
  compared = 0
  /** Below zero when this machine's headers are older than the committed tables, above when newer. */
  readonly #age: number

  constructor(committed: number, present: number) {
    this.#age = Math.sign(present - committed)
  }

  /** `present` is undefined when the headers lack the name. */
  value(
    what: string,
    committed: bigint,
    present: bigint | undefined,
    mayGrow: boolean,
    mayMove = false,
  ): void {
    if (present === undefined) {
      const text = `${what} is ${committed}, the headers of this machine lack it`
      if (this.#age === 0) this.differences.push(text)
      else this.notes.push(text)
      return
    }
    this.compared++
    if (present === committed) return
    const text = `${what} is ${committed}, the headers of this machine say ${present}`
    const grew = present > committed ? 1 : -1
    if ((mayGrow && grew === this.#age) || (mayMove && this.#age !== 0)) this.notes.push(text)
    else this.differences.push(text)
  }
}

/** Something to ask the compiler, and what the committed tables say. */
interface Question {
  readonly label: string
  readonly expression: string
  readonly value: bigint
  /** Newer headers may say more, older ones less. */
  readonly mayGrow: boolean
  /** {@link moving}. */
  readonly mayMove?: boolean
  /** A compiler that refuses the question says nothing against the tables: it is about a struct, not an integer. */
  readonly optional?: boolean
}

/** Whether an expression is more than a name, or a name that the toolchain's headers define. */
function knownNames(toolchain: Toolchain): (expression: string) => boolean {
  const names = new Set(findNames(toolchain).map(({ name }) => name))
  return (expression) => !/^\w+$/.test(expression) || names.has(expression)
}

function ask(
  result: Comparison,
  toolchain: Toolchain,
  fallback: Toolchain,
  questions: readonly Question[],
): void {
  // A name that the headers lack is not asked about: gcc would look for a similar one, for minutes in all.
  const isKnown = knownNames(toolchain)
  const present = evaluate(toolchain, questions.map(({ expression }) => expression).filter(isKnown))
  const missing = questions.filter(({ expression, optional }) => !present.has(expression) && !optional)
  // What the kernel's headers lack is the C library's.
  const second = evaluate(fallback, missing.map(({ expression }) => expression).filter(knownNames(fallback)))
  for (const { label, expression, value, mayGrow, mayMove, optional } of questions) {
    const found = present.get(expression) ?? second.get(expression)
    if (found !== undefined || !optional) result.value(label, value, found, mayGrow, mayMove)
  }
}

const bytesOf: Readonly<Record<string, number>> = {
  u8: 1,
  s8: 1,
  u16: 2,
  s16: 2,
  be16: 2,
  u32: 4,
  s32: 4,
  be32: 4,
}

/** sizeof a field: the element's size times the count. */
const fieldSize = ([type, , count]: Field): number => (bytesOf[type] ?? 8) * (count ?? 1)

function layoutQuestions(label: string, type: string, layout: Layout): Question[] {
  const questions: Question[] = [
    { label: `${label} sizeof`, expression: `sizeof(${type})`, value: BigInt(layout.size), mayGrow: true },
  ]
  for (const [name, field] of Object.entries(layout.fields)) {
    const member = `((${type} *)0)->${name}`
    const [fieldType, offset, count] = field
    const fieldLabel = `${label}.${name}`
    const expression = `__builtin_offsetof(${type}, ${name})`
    questions.push({ label: `${fieldLabel} offset`, expression, value: BigInt(offset), mayGrow: false })
    // A flexible array member has no size; an array at the end may grow.
    if (count !== 0) {
      const size = BigInt(fieldSize(field))
      questions.push({
        label: `${fieldLabel} size`,
        expression: `sizeof(${member})`,
        value: size,
        mayGrow: count !== undefined,
      })
    }
    // Only integers have a sign. Plain char is u8 whatever its sign, and a pointer compares as the compiler likes.
    if (count === undefined && fieldType !== 'ptr' && fieldType !== 'u8') {
      const value = fieldType.startsWith('s') ? 1n : 0n
      const isSigned = `((__typeof__(${member}))-1 < 0)`
      questions.push({
        label: `${fieldLabel} signed`,
        expression: isSigned,
        value,
        mayGrow: false,
        optional: true,
      })
    }
  }
  return questions
}

const layoutTypes: readonly (readonly [name: string, type: string])[] = [
  ...[...kernelStructs, ...libcStructs].map(
    (selected) => [layoutName(selected), typeName(selected)] as const,
  ),
  ...Object.entries(namedLayouts).map(([name, { type }]) => [name, type] as const),
]

function questionsOn(architecture: Architecture, committed: Committed): Question[] {
  const syscalls = Object.entries(committed.syscalls[architecture]).map(([name, value]): Question => ({
    label: `${architecture} syscall ${name}`,
    expression: `__NR_${name}`,
    value: BigInt(value),
    mayGrow: false,
  }))
  const constants = Object.entries(committed.constants).flatMap(([name, value]): Question[] => {
    const one = value[architecture]
    if (one === undefined || name in extraConstants) return []
    const label = `${architecture} ${name}`
    const question = { label, expression: name, value: BigInt(one), mayGrow: growing.test(name) }
    return [{ ...question, mayMove: moving.test(name) }]
  })
  const layouts = layoutTypes.flatMap(([name, type]) => {
    const layout = committed.layouts[name]?.[architecture]
    return layout ? layoutQuestions(`${architecture} struct ${name}`, type, layout) : []
  })
  return [...syscalls, ...constants, ...layouts]
}

/**
 * Compares the committed tables with this machine's headers, for both architectures.
 *
 * @throws Error when a compiler or the headers are missing
 */
export function check(committed: Committed): CheckResult {
  return withToolchains((kernel, libc) => {
    const result = new Comparison(committed.version, versionOf(kernel.x64))
    for (const architecture of ['x64', 'arm64'] as const) {
      ask(result, kernel[architecture], libc, questionsOn(architecture, committed))
    }
    for (const [name] of layoutTypes) {
      if (!committed.layouts[name])
        result.differences.push(`struct ${name} is selected, but no committed table has it`)
    }
    for (const [number, [name]] of Object.entries(committed.errors)) {
      const value = committed.constants[name]?.x64
      if (Number(value) !== Number(number)) {
        result.differences.push(`errno.ts: ${name} is ${number}, the constants say ${value}`)
      }
    }
    return { differences: result.differences, notes: result.notes, compared: result.compared }
  })
}
