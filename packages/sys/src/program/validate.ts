// What a program refuses as an argument, before anything is made of it.
import { Address, Memory, type Operand, Step, type StepName, Word } from './operand.ts'

/** What a program consists of: what an operand may refer to. */
export interface Parts {
  readonly steps: readonly Step[]
  readonly memories: readonly Memory[]
}

/**
 * Refuses what cannot be an argument of a step.
 *
 * @throws TypeError for a string with a NUL byte, a step or memory of another program, and what is no argument;
 * RangeError for a number that is no 64-bit integer
 */
export function validateOperand(name: StepName, operand: Operand, parts: Parts): void {
  if (operand === null || operand instanceof Uint8Array) return
  if (typeof operand === 'string') refuseNul(name, operand)
  else if (typeof operand === 'number' || typeof operand === 'bigint') refuseUnfit(name, operand)
  else if (operand instanceof Step) refuseForeign(name, 'step', parts.steps[operand.index] === operand)
  else if (operand instanceof Memory) refuseForeign(name, 'memory', parts.memories[operand.index] === operand)
  else if (operand instanceof Address) validateOperand(name, operand.base, parts)
  else if (operand instanceof Word) validateOperand(name, operand.memory, parts)
  else {
    // A missing argument would become 0, which is a file descriptor.
    const strings = typeof operand === 'object' ? operand.strings : undefined
    if (strings === undefined) throw new TypeError(`${name}: ${typeof operand} is no argument of a call`)
    for (const text of strings) refuseNul(name, text)
  }
}

function refuseForeign(name: StepName, kind: string, isOurs: boolean): void {
  if (!isOurs) throw new TypeError(`${name}: the argument is a ${kind} of another program`)
}

function refuseNul(name: StepName, text: string): void {
  if (text.includes('\0')) throw new TypeError(`${name}: a NUL byte in ${JSON.stringify(text)}`)
}

/** Signed and unsigned numbers of 64 bits are as good: −1 and 2⁶⁴ − 1 are the same register. */
function refuseUnfit(name: StepName, value: number | bigint): void {
  const fits =
    typeof value === 'number'
      ? Number.isSafeInteger(value)
      : BigInt.asIntN(64, value) === value || BigInt.asUintN(64, value) === value
  if (!fits) throw new RangeError(`${name}: not a 64-bit integer: ${value}`)
}
