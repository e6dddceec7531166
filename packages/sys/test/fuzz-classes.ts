// The part of fuzz-exports.ts about what has methods: classes, and mappings. Each is made with hostile arguments, and one
// that was made rightly gets any sequence of its methods, after its disposal too.
import fc from 'fast-check'
import { endsByNature } from '../scripts/wrapped/by-nature.ts'
import * as c from '../src/constants.ts'
import { OwnedFd } from '../src/fd.ts'
import { IoUring } from '../src/io-uring.ts'
import { close, duplicate } from '../src/io.ts'
import { madvise, type Mapping, mincore, mmap } from '../src/memory.ts'

type Parameters = readonly unknown[]
type Class = new (...parameters: Parameters) => object

/** Right arguments of the classes that are called. */
const rightly: Readonly<Record<string, () => Parameters>> = {
  'errno.SysError': () => [{ errno: 2, syscall: 'open' }],
  'fd.OwnedFd': () => [duplicate(0).release()],
  'io-uring.IoUring': () => [8],
  'reactor.Reactor': () => [],
}

/** What programs are made of: their own tests misuse these, as `Program`. */
const leftAlone = new Set(['program.Address', 'program.Memory', 'program.Step', 'program.Word'])

/** Whether the class `name` is called here. */
export function isFuzzed(name: string): boolean {
  return name in rightly
}

/** Whether the class `name` has a reason not to be called here. */
export function isLeftAlone(name: string): boolean {
  return endsByNature.has(name) || leftAlone.has(name)
}

/** Calls `target` with hostile arguments, and gives back what came of it. */
export type CallWith = (
  name: string,
  target: (...parameters: unknown[]) => unknown,
  parameters: Parameters,
) => void

/** Names or symbols of what instances of `type` have. */
function membersOf(type: Class): PropertyKey[] {
  return Reflect.ownKeys(type.prototype as object).filter((key) => key !== 'constructor')
}

/** `ring.wait(count)` blocks until so many results are there, as asked. */
function wouldBlock(member: PropertyKey, [count]: Parameters): boolean {
  return member === 'wait' && Number.isSafeInteger(count) && (count as number) > 0
}

function use(instance: object, member: PropertyKey, parameters: Parameters): unknown {
  const what = Reflect.get(instance, member) as unknown
  if (typeof what !== 'function') return undefined
  const result = Reflect.apply(what, instance, parameters) as unknown
  // The number was given away: nobody else closes it.
  if (instance instanceof OwnedFd && typeof result === 'number') close(result)
  // What it waits for need not come.
  if (result instanceof Promise) result.catch(() => undefined)
  return undefined
}

/** Submissions that the kernel takes in part: right operations with whatever else. */
function submissions(value: fc.Arbitrary<unknown>, mapping: Mapping): fc.Arbitrary<Parameters> {
  const operations = [
    c.IORING_OP_NOP,
    c.IORING_OP_READ,
    c.IORING_OP_WRITE,
    c.IORING_OP_POLL_ADD,
    c.IORING_OP_TIMEOUT,
    c.IORING_OP_ASYNC_CANCEL,
    c.IORING_OP_OPENAT,
    c.IORING_OP_RECV,
    c.IORING_OP_STATX,
    c.IORING_OP_READV,
  ]
  const place = { mapping: fc.constantFrom<unknown>(mapping, {}), offset: value, length: value }
  const memory = fc.oneof(
    value,
    fc.record(place),
    fc.constant({ mapping, offset: 0, length: mapping.bytes.length }),
  )
  const fields = { flags: value, fd: value, off: value, memory, op_flags: value, user_data: value }
  const one = fc.record({ opcode: fc.constantFrom(...operations), ...fields }, { requiredKeys: ['opcode'] })
  return fc.array(one, { maxLength: 4 }).map((list) => [list])
}

/** Makes and calls the class `name`. */
export function fuzzClass(
  name: string,
  type: Class,
  value: fc.Arbitrary<unknown>,
  callWith: CallWith,
  options: { seed: number; numRuns: number },
): void {
  const hostile = fc.array(value, { maxLength: 4 })
  const make = fc.property(hostile, (parameters) => {
    callWith(
      `new ${name}`,
      (...given) => {
        const instance = new type(...given)
        // It was given a number that is another's.
        if (!(instance instanceof OwnedFd)) return instance
        instance.release()
        return undefined
      },
      parameters,
    )
  })
  fc.assert(make, options)
  const members = membersOf(type)
  if (members.length === 0) return
  using mapping = mmap({ lengthBytes: 4096 })
  const parameters = type === IoUring ? fc.oneof(hostile, submissions(value, mapping)) : hostile
  // An index of the members, and hostile arguments.
  const deeds = fc.array(fc.tuple(fc.nat(members.length - 1), parameters), { minLength: 1, maxLength: 6 })
  const call = fc.property(deeds, (list) => {
    const instance = new type(...(rightly[name]?.() ?? []))
    for (const [index, given] of list) {
      const member = members[index] ?? ''
      if (wouldBlock(member, given)) continue
      callWith(`${name}.${String(member)}`, (...some) => use(instance, member, some), given)
    }
    if (Symbol.dispose in instance) (instance as Disposable)[Symbol.dispose]()
  })
  fc.assert(call, options)
}

/** Tries to make mappings stand for other memory, and uses them before and after their disposal. */
export function fuzzMapping(
  value: fc.Arbitrary<unknown>,
  callWith: CallWith,
  options: { seed: number; numRuns: number },
): void {
  const property = fc.property(fc.constantFrom('address', 'bytes', Symbol.dispose), value, (key, other) => {
    const mapping = mmap({ lengthBytes: 8192 })
    const functions = [mincore, (one: Mapping) => madvise(one, c.MADV_DONTNEED)]
    callWith('memory.Mapping', () => Object.assign(mapping, { [key]: other }), [])
    for (const one of functions) callWith('memory.Mapping', () => one(mapping), [])
    mapping[Symbol.dispose]()
    for (const one of functions) callWith('memory.Mapping', () => one(mapping), [])
    callWith('memory.Mapping', () => mapping[Symbol.dispose](), [])
  })
  fc.assert(property, options)
}
