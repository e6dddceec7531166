/** From instructions to bytes: gives every one an address, as short as its encoding allows. */
import type { Architecture } from '../../src/raw/number.ts'
import { encodeArm64 } from './arm64.ts'
import { readAssembly, type AssemblySource, type Instruction } from './source.ts'
import { encodeX64 } from './x64.ts'

/**
 * Encodes one instruction.
 *
 * @param distance - bytes from the instruction's begin to the target of the jump that it is
 * @param isLong - whether a jump may not use its short form
 */
export type Encoder = (
  instruction: Instruction,
  distance: (operand: string) => number,
  isLong: boolean,
) => Uint8Array

/** An instruction and what became of it. */
export interface AssembledInstruction extends Instruction {
  /** From the first byte of the code. */
  readonly offset: number
  readonly bytes: Uint8Array
  /** The named label before it, if there is one. */
  readonly label: string | undefined
}

/** Machine code with its listing. */
export interface Assembled {
  readonly code: Uint8Array
  readonly listing: readonly AssembledInstruction[]
  /** Byte offset of a named label. */
  offsetOf(label: string): number
}

const encoders: Readonly<Record<Architecture, Encoder>> = { x64: encodeX64, arm64: encodeArm64 }

/**
 * Assembles `text`: the few instructions that {@link encodeX64} and {@link encodeArm64} know, in the syntax of the GNU
 * assembler.
 *
 * @throws AssemblyError for anything else
 */
export function assembleText(architecture: Architecture, text: string): Assembled {
  const source = readAssembly(text)
  const long = new Set<number>()
  let encoded = encodeAll(encoders[architecture], source, long)
  // A jump that is too far for its short form gets the long one, which may push another out of its reach.
  while (encoded.tooFar.length > 0) {
    for (const index of encoded.tooFar) long.add(index)
    encoded = encodeAll(encoders[architecture], source, long)
  }
  const names = new Map([...source.labels].map(([name, index]) => [index, name]))
  const listing = source.instructions.map((instruction, index) => ({
    ...instruction,
    offset: encoded.offsets[index] ?? 0,
    bytes: encoded.parts[index] ?? new Uint8Array(),
    label: names.get(index),
  }))
  return {
    code: Uint8Array.from(encoded.parts.flatMap((part) => [...part])),
    listing,
    offsetOf(label) {
      const offset = encoded.offsets[source.labels.get(label) ?? -1]
      if (offset === undefined) throw new TypeError(`no label ${label}`)
      return offset
    },
  }
}

interface Encoded {
  parts: Uint8Array[]
  offsets: number[]
  /** Indexes of short jumps whose target is further than they reach. */
  tooFar: number[]
}

/** First for the sizes, which depend on no distance, then with the distances. */
function encodeAll(encode: Encoder, source: AssemblySource, long: ReadonlySet<number>): Encoded {
  const { instructions } = source
  const draft = instructions.map((instruction, index) => encode(instruction, () => 0, long.has(index)))
  const offsets: number[] = [0]
  for (const [index, part] of draft.entries()) offsets.push((offsets[index] ?? 0) + part.length)
  const tooFar: number[] = []
  const parts = instructions.map((instruction, index) => {
    const distance = (operand: string): number => {
      const bytes = (offsets[source.target(operand, index)] ?? 0) - (offsets[index] ?? 0)
      const size = draft[index]?.length ?? 0
      const isShort = size === 2
      if (isShort && (bytes - size < -128 || bytes - size > 127)) {
        tooFar.push(index)
        return 0
      }
      return bytes
    }
    return encode(instruction, distance, long.has(index))
  })
  return { parts, offsets, tooFar }
}
