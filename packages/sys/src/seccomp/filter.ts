// Rules by the names of system calls, assembled to the classic BPF program that the kernel runs before each call.
import { AUDIT_ARCH_AARCH64, AUDIT_ARCH_X86_64 } from '../generated/constants/audit.ts'
import {
  SECCOMP_RET_ALLOW,
  SECCOMP_RET_ERRNO,
  SECCOMP_RET_KILL_PROCESS,
} from '../generated/constants/security.ts'
import { errnoNumber } from '../errno.ts'
import { type Architecture, currentArchitecture, syscallNumber, type SyscallName } from '../raw.ts'
import { u32, u64 } from '../raw/arguments.ts'

/**
 * A condition on one of a call's six arguments, as an unsigned number.
 *
 * The filter sees registers of 64 bits, and the kernel takes of them what the call declares: of an `int`, an `unsigned int`,
 * an id or a descriptor the low 32. A condition on those needs `bits: 32`: without it a caller gets past it with anything in
 * the high half of the register.
 */
export interface SeccompCondition {
  /** 0 to 5. */
  argument: number
  /**
   * How much of the argument is compared: 32 for what the call declares as an `int` or `unsigned int` (domains, types,
   * flags of `openat`, commands of `ioctl`), 64 (default) for a `long`, a size, an offset or an address (flags of `clone`,
   * `mmap` and `unshare`). Above 32 bits `value` and `mask` are refused with 32.
   */
  bits?: 32 | 64
  /** How it is compared. Numbers compare unsigned; `&` is true when (argument & mask) equals the value. */
  operator: '==' | '!=' | '<' | '<=' | '>' | '>=' | '&'
  /** A negative one stands for its two's complement: 0xffffffff or 0xffffffffffffffff, as `bits` says. */
  value: number | bigint
  /** For `&`: the bits that are compared. */
  mask?: number | bigint
}

/** What happens at some calls. */
export interface SeccompRule {
  /** The calls' names; those that the architecture lacks are left out. */
  calls: readonly SyscallName[]
  /** SECCOMP_RET_*, with its data; {@link seccompErrno} for an error. */
  action: number
  /** All must hold. */
  when?: readonly SeccompCondition[]
}

/** A filter in words. */
export interface SeccompFilterOptions {
  /** The first that matches decides. */
  rules: readonly SeccompRule[]
  /** What happens at all other calls. Default: SECCOMP_RET_ALLOW. */
  otherwise?: number
  /** For which machine. Default: this one. */
  architecture?: Architecture
}

/**
 * The action that makes a call fail: SECCOMP_RET_ERRNO with an errno.
 *
 * @param code - `'EPERM'`
 * @throws TypeError for an error that the kernel does not have
 */
export function seccompErrno(code: string): number {
  return SECCOMP_RET_ERRNO | errnoNumber(code)
}

/** Operations of classic BPF (linux/bpf_common.h): load a word of the data, and, jump, return. */
const LOAD = 0x20
const AND = 0x54
const JUMP_EQUAL = 0x15
const JUMP_GREATER = 0x25
const JUMP_GREATER_OR_EQUAL = 0x35
const RETURN = 0x06

/** Offsets in `struct seccomp_data` (linux/seccomp.h). */
const offsets = { nr: 0, arch: 4, args: 16 }

/** Calls of the x32 ABI have this bit (asm/unistd.h, `__X32_SYSCALL_BIT`), and the arch word of x86-64. */
const x32Bit = 0x4000_0000

/** Where a comparison leads: to the next instruction, past a condition that holds, or past a rule that does not. */
type Target = 'next' | 'holds' | 'fails'

/** One instruction; a comparison has targets. */
interface Instruction {
  code: number
  value: number
  yes?: Target
  no?: Target
}

/** `BPF_MAXINSNS` (linux/bpf_common.h). */
const instructionsMax = 4096

/**
 * Assembles a filter: an array of `struct sock_filter`.
 *
 * Calls of another architecture or ABI (i386, x32) kill the process: their numbers mean other calls.
 *
 * @throws TypeError for an unknown call; RangeError for a condition that cannot be, or more than 4096 instructions
 *
 * @example
 * ```ts
 * import { AF_INET } from '@pkg/sys/constants'
 * import { seccompErrno, seccompFilter } from '@pkg/sys/seccomp'
 *
 * const filter = seccompFilter({
 *   rules: [
 *     {
 *       calls: ['socket'],
 *       // The kernel takes an int: only the low 32 bits of the register count.
 *       when: [{ argument: 0, bits: 32, operator: '==', value: AF_INET }],
 *       action: seccompErrno('EACCES'),
 *     },
 *   ],
 * })
 * console.assert(filter.length % 8 === 0)
 * ```
 */
export function seccompFilter(options: SeccompFilterOptions): Uint8Array<ArrayBuffer> {
  const { rules, otherwise = SECCOMP_RET_ALLOW, architecture = currentArchitecture() } = options
  const program = prologue(architecture)
  for (const { calls, action, when = [] } of rules) {
    const conditions = when.map(conditionCode)
    for (const call of calls) {
      const number = numberOn(call, architecture)
      // The number is loaded anew: the conditions of the rule before have left something else.
      const isCall = [load(offsets.nr), compare(JUMP_EQUAL, number ?? 0, 'holds', 'fails')]
      if (number !== undefined) program.push(...link([isCall, ...conditions], u32(action, 'action')))
    }
  }
  program.push(...link([], u32(otherwise, 'otherwise')))
  if (program.length > instructionsMax) {
    throw new RangeError(`the filter has ${program.length} instructions: at most ${instructionsMax}`)
  }
  const bytes = new Uint8Array(new ArrayBuffer(program.length * 8))
  for (const [index, one] of program.entries()) encode(one, new DataView(bytes.buffer, index * 8))
  return bytes
}

function numberOn(call: SyscallName, architecture: Architecture): number | undefined {
  const other = architecture === 'x64' ? 'arm64' : 'x64'
  try {
    return syscallNumber(call, architecture)
  } catch {
    // A name of the other architecture (`open` on arm64) has nothing to forbid here; any other is a mistake.
    syscallNumber(call, other)
    return undefined
  }
}

/** Kills what another architecture's or ABI's call is: its number means something else. */
function prologue(architecture: Architecture): Linked[] {
  const arch = architecture === 'x64' ? AUDIT_ARCH_X86_64 : AUDIT_ARCH_AARCH64
  const isForeign = [load(offsets.arch), compare(JUMP_EQUAL, arch, 'fails', 'holds')]
  const isX32 = [load(offsets.nr), compare(JUMP_GREATER_OR_EQUAL, x32Bit, 'holds', 'fails')]
  const foreign = link([isForeign], SECCOMP_RET_KILL_PROCESS)
  return architecture === 'x64' ? [...foreign, ...link([isX32], SECCOMP_RET_KILL_PROCESS)] : foreign
}

function load(offset: number): Instruction {
  return { code: LOAD, value: offset }
}

function compare(code: number, value: number, yes: Target, no: Target): Instruction {
  return { code, value, yes, no }
}

/** `value` as the unsigned number of `bits` that it stands for. */
function unsigned(value: number | bigint, name: string, bits: 32 | 64): bigint {
  if (bits === 64) return u64(value, name)
  // Checked with its sign, which 64 bits of two's complement would lose.
  u64(value, name)
  return BigInt(u32(Number(value), name) >>> 0)
}

/** The machine compares 32 bits: the high word decides, and where it is equal the low one. */
function conditionCode(condition: SeccompCondition): Instruction[] {
  const { argument, operator, bits = 64 } = condition
  if (!Number.isInteger(argument) || argument < 0 || argument > 5)
    throw new RangeError(`argument: ${argument}`)
  if (bits !== 32 && bits !== 64) throw new RangeError(`bits must be 32 or 64: ${String(bits)}`)
  const value = unsigned(condition.value, 'value', bits)
  const mask = operator === '&' ? unsigned(condition.mask ?? value, 'mask', bits) : 2n ** 64n - 1n
  const low = Number(value & 0xffff_ffffn)
  const loadLow = load(offsets.args + 8 * argument)
  // Of 32 bits the high word is not looked at: the kernel does not either.
  const high = bits === 64 ? Number(value >> 32n) : undefined
  const loadHigh = load(offsets.args + 8 * argument + 4)
  const highEquals =
    high === undefined
      ? []
      : [loadHigh, { code: AND, value: Number(mask >> 32n) }, compare(JUMP_EQUAL, high, 'next', 'fails')]
  const equals = [
    ...highEquals,
    loadLow,
    { code: AND, value: Number(mask & 0xffff_ffffn) },
    compare(JUMP_EQUAL, low, 'holds', 'fails'),
  ]
  const exceeds = (lowComparison: number): Instruction[] => [
    ...(high === undefined
      ? []
      : [loadHigh, compare(JUMP_GREATER, high, 'holds', 'next'), compare(JUMP_EQUAL, high, 'next', 'fails')]),
    loadLow,
    compare(lowComparison, low, 'holds', 'fails'),
  ]
  switch (operator) {
    case '==':
    case '&':
      return equals
    case '!=':
      return negate(equals)
    case '>':
      return exceeds(JUMP_GREATER)
    case '<=':
      return negate(exceeds(JUMP_GREATER))
    case '>=':
      return exceeds(JUMP_GREATER_OR_EQUAL)
    case '<':
      return negate(exceeds(JUMP_GREATER_OR_EQUAL))
    default:
      throw new TypeError(`not an operator: ${String(operator)}`)
  }
}

function negate(code: readonly Instruction[]): Instruction[] {
  const opposite = { next: 'next', holds: 'fails', fails: 'holds' } as const
  return code.map((one) =>
    one.yes === undefined || one.no === undefined
      ? one
      : { ...one, yes: opposite[one.yes], no: opposite[one.no] },
  )
}

/** An instruction with its jumps as the machine counts them: instructions to skip. */
interface Linked {
  code: number
  value: number
  skipIfYes: number
  skipIfNo: number
}

/** A rule: its conditions one after the other, then its action; a condition that fails skips all the rest. */
function link(conditions: readonly (readonly Instruction[])[], action: number): Linked[] {
  const end = conditions.reduce((sum, { length }) => sum + length, 0) + 1
  const linked: Linked[] = []
  let conditionEnd = 0
  for (const condition of conditions) {
    conditionEnd += condition.length
    for (const { code, value, yes = 'next', no = 'next' } of condition) {
      const following = linked.length + 1
      const skip = { next: 0, holds: conditionEnd - following, fails: end - following }
      linked.push({ code, value, skipIfYes: skip[yes], skipIfNo: skip[no] })
    }
  }
  // A jump skips at most 255: the 42 conditions that takes are more than six arguments can sensibly have.
  if (end > 255) throw new RangeError('a rule has at most 41 conditions')
  return [...linked, { code: RETURN, value: action, skipIfYes: 0, skipIfNo: 0 }]
}

/** `struct sock_filter` (linux/filter.h): code, jt, jf, k. */
function encode(instruction: Linked, at: DataView): void {
  at.setUint16(0, instruction.code, true)
  at.setUint8(2, instruction.skipIfYes)
  at.setUint8(3, instruction.skipIfNo)
  at.setUint32(4, instruction.value >>> 0, true)
}
