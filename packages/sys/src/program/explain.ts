// Programs as text, for people: lines like strace's, with what an error does.
import { errnoName } from '../errno.ts'
import { argumentKinds, nameOf } from './constant-names.ts'
import { Address, type Label, Memory, type Operand, Step, Word } from './operand.ts'

/** What is written of a program. */
interface Listed {
  readonly steps: readonly Step[]
  readonly memories: readonly Memory[]
}

/** Longer bytes and strings are cut, as strace cuts them. */
const shownMax = 64

/**
 * One line a step: `openat(AT_FDCWD, "/dev/null", O_RDWR, 0)`, numbered, and after it what errors do: `except EEXIST`
 * are tolerated, `or go on`, `or goto late`. `$3` is the result of step 3, `m0+8` an address in the first memory, and
 * `*m0+8` the word there. Memory stands at the end.
 */
export function explainProgram({ steps, memories }: Listed): string {
  const labels = new Map<Label, string>()
  for (const { onError } of steps) {
    if (typeof onError !== 'object' || labels.has(onError)) continue
    const name = onError.name ?? 'label'
    const isTaken = [...labels.values()].includes(name) || onError.name === undefined
    labels.set(onError, isTaken ? `${name}${labels.size}` : name)
  }
  const at = (index: number): string[] =>
    [...labels].filter(([label]) => label.index === index).map(([, name]) => `${name}:`)
  const width = String(steps.length).length + 2
  const lines = steps.flatMap((step) => [
    ...at(step.index),
    `${String(step.index).padStart(width)}  ${explainStep(step, labels)}`,
  ])
  const contents = memories.map(
    ({ index, sizeBytes, content }) => `m${index}  ${sizeBytes} bytes${explainContent(content)}`,
  )
  return [...lines, ...at(steps.length), ...contents, ''].join('\n')
}

function explainStep(step: Step, labels: ReadonlyMap<Label, string>): string {
  const { name, onError, tolerated } = step
  const target = typeof onError === 'object' ? ` goto ${labels.get(onError)}` : ''
  if (name === 'jump') return target.trim()
  const call = explainCall(step)
  const codes = [tolerated & 0xffff, tolerated >> 16].filter((errno) => errno > 0).map(errnoName)
  const except = codes.length === 0 ? '' : `  except ${codes.join(', ')}`
  if (onError === 'next') return name === 'set' || name === 'error' ? call : `${call}  or go on`
  return target === '' ? call + except : `${call}${except}  or${target}`
}

/** A step as a call: `setresuid(1000, 1000, 1000)`. */
export function explainCall({ name, operands }: Step): string {
  const kinds = argumentKinds()[name] ?? []
  const shown = operands.map((operand, index) => {
    const kind = kinds[index]
    return typeof operand === 'number' && kind ? nameOf(operand, kind) : explainOperand(operand)
  })
  return name === 'set' ? explainSet(shown) : `${name}(${shown.join(', ')})`
}

function explainSet([target, value, plus, shift]: readonly string[]): string {
  const shifted = shift === '0' ? value : `(${value} << ${shift})`
  return `*${target} = ${shifted}${plus === '0' ? '' : ` + ${plus}`}`
}

function explainOperand(operand: Operand): string {
  if (operand === null) return 'NULL'
  if (typeof operand === 'number' || typeof operand === 'bigint') return String(operand)
  if (typeof operand === 'string') return JSON.stringify(cut(operand))
  if (operand instanceof Uint8Array) return explainBytes(operand)
  if (operand instanceof Step) return `$${operand.index}`
  if (operand instanceof Memory) return `m${operand.index}`
  if (operand instanceof Word) return `*${explainPlace(`m${operand.memory.index}`, operand.offset)}`
  if (operand instanceof Address) {
    const base = operand.base instanceof Step ? `&$${operand.base.index}` : `m${operand.base.index}`
    return explainPlace(base, operand.offset)
  }
  return `[${operand.strings.map((text) => JSON.stringify(cut(text))).join(', ')}]`
}

function explainPlace(base: string, offset: number): string {
  return offset === 0 ? base : `${base}+${offset}`
}

function explainContent(content: Memory['content']): string {
  if (content === undefined) return ''
  if (content instanceof Uint8Array) return `: ${explainBytes(content)}`
  return `: {${content.map(explainOperand).join(', ')}}`
}

/** Text where it is text, else octets as C writes them. */
function explainBytes(bytes: Uint8Array): string {
  const shown = Array.from(bytes.subarray(0, shownMax), (byte) =>
    byte >= 0x20 && byte < 0x7f && byte !== 0x22 && byte !== 0x5c
      ? String.fromCodePoint(byte)
      : `\\x${byte.toString(16).padStart(2, '0')}`,
  )
  return `"${shown.join('')}"${bytes.length > shownMax ? '...' : ''}`
}

function cut(text: string): string {
  return text.length > shownMax ? `${text.slice(0, shownMax)}...` : text
}
