/** Assembly text, split into lines: labels, and instructions with their operands. */

/** One instruction, where it stands. */
export interface Instruction {
  /** Lower case; a prefix belongs to it: `repe cmpsb`. */
  readonly mnemonic: string
  /** As written, without spaces around. */
  readonly operands: readonly string[]
  /** As written, without comment: for listings and messages. */
  readonly text: string
  /** Counted from 1. */
  readonly line: number
}

/** A text in which every label is known by the index of the instruction that it stands before. */
export interface AssemblySource {
  readonly instructions: readonly Instruction[]
  /** Named labels. */
  readonly labels: ReadonlyMap<string, number>
  /** The index that `operand` means to the instruction `from`: a name, or `1f` and `1b`, the next or last `1:`. */
  target(operand: string, from: number): number
}

/** Thrown for a line that the assembler does not understand. */
export class AssemblyError extends Error {
  override readonly name = 'AssemblyError'

  constructor({ line, text }: Pick<Instruction, 'line' | 'text'>, reason: string) {
    super(`line ${line}: ${text}: ${reason}`)
  }
}

/** Splits `text`. Comments begin with `#` or `//` at the line's begin or after a space. */
export function readAssembly(text: string): AssemblySource {
  const instructions: Instruction[] = []
  const labels = new Map<string, number>()
  const locals: { name: string; index: number }[] = []
  for (const [number, raw] of text.split('\n').entries()) {
    let code = raw.replace(/(^|\s)(#|\/\/)(\s.*)?$/, '').trim()
    const label = /^(\w+):\s*/.exec(code)
    if (label !== null) {
      const [all, name = ''] = label
      if (/^\d/.test(name)) locals.push({ name, index: instructions.length })
      else labels.set(name, instructions.length)
      code = code.slice(all.length)
    }
    if (code === '' || code.startsWith('.')) continue
    const [, mnemonic = '', rest = ''] = /^((?:repe\s+)?[\w.]+)\s*(.*)$/.exec(code) ?? []
    // A comma inside brackets is part of an operand: [x0, #8].
    const operands = rest === '' ? [] : rest.split(/,(?![^[]*\])/).map((operand) => operand.trim())
    instructions.push({ mnemonic, operands, text: code.replace(/\s+/g, ' '), line: number + 1 })
  }
  const target = (operand: string, from: number): number => {
    const [, name = '', direction] = /^(\d+)([fb])$/.exec(operand) ?? []
    const indexes = locals.filter((local) => local.name === name).map(({ index }) => index)
    const index =
      direction === undefined
        ? labels.get(operand)
        : direction === 'f'
          ? indexes.find((candidate) => candidate > from)
          : indexes.findLast((candidate) => candidate <= from)
    const instruction = instructions[from]
    if (index === undefined && instruction) throw new AssemblyError(instruction, `no label ${operand}`)
    return index ?? 0
  }
  return { instructions, labels, target }
}
