// Runs in a sandboxed process of its own: calls every export with hostile arguments. Started by fuzz.test.ts.
import { readdirSync, writeSync } from 'node:fs'
import fc from 'fast-check'
import { endsByNature } from '../scripts/wrapped/by-nature.ts'
import * as c from '../src/constants.ts'
import { SysError } from '../src/errno.ts'
import { getdents64, openat } from '../src/fs.ts'
import { lseek, memfd_create, pipe2, setNonBlocking } from '../src/io.ts'
import { mmap } from '../src/memory.ts'
import { mount, mount_setattr } from '../src/mount.ts'
import { watchSignals } from '../src/signal.ts'
import { fuzzClass, fuzzMapping, isFuzzed, isLeftAlone } from './fuzz-classes.ts'

/** What the parent reads: the last line says which call a crash happened in. */
interface Progress {
  /** Calls made. */
  cases: number
  /** Exports and classes called. */
  exports: number
  /** Errors that are none of the three that may be. */
  wrong: string[]
  /** Descriptors that were left open. */
  leaked: number
}

const [seed = '1', runs = '40'] = process.argv.slice(2)

const source = `${import.meta.dirname}/../src`
const modules = readdirSync(source)
  .toSorted()
  .filter((file) => file.endsWith('.ts') && !/^(constants|structs|index)\.ts$/.test(file))
// All are loaded before anything is mounted: the sources may lie below /tmp, and later there may be no file system.
const loaded = await Promise.all(
  modules.map(
    async (file) => [file, (await import(`${source}/${file}`)) as Record<string, unknown>] as const,
  ),
)

// Nothing outside can be written: everything is read-only but a file system of our own.
mount_setattr(c.AT_FDCWD, '/', c.AT_RECURSIVE, { attr_set: c.MOUNT_ATTR_RDONLY })
mount('tmpfs', '/tmp', 'tmpfs')
process.chdir('/tmp')

const pipe = pipe2(c.O_NONBLOCK)
const closed = memfd_create('closed', 0)
closed.close()
const folder = openat(c.AT_FDCWD, '/tmp', c.O_DIRECTORY)
const descriptors: unknown[] = [
  pipe.read,
  pipe.write,
  closed,
  folder,
  memfd_create('open', 0),
  9999,
  -1,
  c.AT_FDCWD,
]
const mapping = mmap({ lengthBytes: 8192 })
const gone = mmap({ lengthBytes: 4096 })
gone[Symbol.dispose]()
setNonBlocking(0, true)

const number = fc.constantFrom<unknown>(
  ...[
    0,
    1,
    2,
    -1,
    1000,
    4096,
    65_535,
    2 ** 31 - 1,
    2 ** 31,
    2 ** 32 - 1,
    2 ** 32,
    2 ** 53,
    -(2 ** 31),
    -(2 ** 31) - 1,
  ],
  ...[
    Number.NaN,
    Infinity,
    -Infinity,
    0.5,
    0n,
    1n,
    -1n,
    2n ** 63n,
    2n ** 64n - 1n,
    2n ** 64n,
    -(2n ** 63n) - 1n,
  ],
)
const text = fc.constantFrom<unknown>(
  '',
  '/none',
  '.',
  'x',
  'a\0b',
  '\0',
  'ü'.repeat(3000),
  'x'.repeat(100_000),
  '/proc/self',
)
const bytes = fc.constantFrom<unknown>(
  new Uint8Array(0),
  new Uint8Array(1),
  new Uint8Array(4096).fill(255),
  new Uint8Array(new SharedArrayBuffer(64)),
  new Float64Array(3),
  new DataView(new ArrayBuffer(3)),
  new ArrayBuffer(8),
)
const thing = fc.constantFrom<unknown>(
  undefined,
  null,
  true,
  {},
  [],
  Symbol('x'),
  () => undefined,
  new Date(0),
  ...descriptors,
)
const memory = fc.constantFrom<unknown>(
  mapping,
  gone,
  { ...mapping },
  { mapping, offset: 0, value: 1 },
  { mapping, offset: 3 },
)
const leaf = fc.oneof(number, text, bytes, thing, memory)
const names = [
  'fd',
  'offset',
  'length',
  'type',
  'flags',
  'mode',
  'nodes',
  'buffers',
  'control',
  'address',
  'family',
  'path',
  'port',
  'soft',
  'hard',
  'valueNs',
  'file',
  'env',
  'lengthBytes',
  'rules',
  'calls',
  'action',
  'idtype',
  'options',
  'id',
]
const value = fc.oneof(
  { weight: 6, arbitrary: leaf },
  { weight: 1, arbitrary: fc.array(leaf, { maxLength: 3 }) },
  { weight: 1, arbitrary: fc.dictionary(fc.constantFrom(...names), leaf, { maxKeys: 4 }) },
)

// What a process has once: the pipe of signals and the reactor.
watchSignals([c.SIGRTMAX], () => undefined)[Symbol.dispose]()

const progress: Progress = { cases: 0, exports: 0, wrong: [], leaked: 0 }

/** Whatever came back is given back: descriptors, mappings, children, watches; generators are run a little. */
function giveBack(result: unknown, depth = 0): void {
  if (typeof result !== 'object' || result === null || depth > 3) return
  if (Symbol.iterator in result && 'next' in result) {
    let left = 5
    for (const one of result as Iterable<unknown>) {
      giveBack(one, depth + 1)
      if (--left === 0) break
    }
  }
  if ('kill' in result) (result as { kill(signal: number): void }).kill(c.SIGKILL)
  if (Symbol.dispose in result) (result as Disposable)[Symbol.dispose]()
  else if (!ArrayBuffer.isView(result)) for (const one of Object.values(result)) giveBack(one, depth + 1)
}

function callWith(
  name: string,
  target: (...parameters: unknown[]) => unknown,
  parameters: readonly unknown[],
): void {
  progress.cases++
  try {
    giveBack(target(...parameters))
  } catch (error) {
    const isExpected = error instanceof SysError || error instanceof TypeError || error instanceof RangeError
    if (!isExpected) progress.wrong.push(`${name}: ${String(error)}`)
  }
}

function isClass(target: unknown): target is new (...parameters: readonly unknown[]) => object {
  return typeof target === 'function' && /^class\b/.test(Function.prototype.toString.call(target))
}

// An open folder: the calls change the root, and unmount what they can.
const ownDescriptors = openat(c.AT_FDCWD, '/proc/self/fd', c.O_DIRECTORY)
function openDescriptors(): number {
  lseek(ownDescriptors, 0, c.SEEK_SET)
  return [...getdents64(ownDescriptors)].length
}

const options = { seed: Number(seed), numRuns: Number(runs) }

/** Runs the calls of one export, and counts the descriptors that they leave open. */
function fuzz(name: string, calls: () => void): void {
  process.stderr.write(`${name}\n`)
  progress.exports++
  const before = openDescriptors()
  calls()
  const after = openDescriptors()
  if (after > before) {
    progress.leaked += after - before
    progress.wrong.push(`${name}: ${after - before} descriptors left open`)
  }
}

// Before the functions: those close, limit and unmount what they can.
fuzz('memory.Mapping', () => fuzzMapping(value, callWith, options))
for (const [file, module] of loaded) {
  for (const [exported, target] of Object.entries(module)) {
    const name = `${file.slice(0, -'.ts'.length)}.${exported}`
    if (!isClass(target)) continue
    if (isFuzzed(name)) fuzz(name, () => fuzzClass(name, target, value, callWith, options))
    else if (!isLeftAlone(name)) progress.wrong.push(`${name}: is neither called nor on the list`)
  }
}

for (const [file, module] of loaded) {
  for (const [exported, target] of Object.entries(module)) {
    const name = `${file.slice(0, -'.ts'.length)}.${exported}`
    if (typeof target !== 'function' || endsByNature.has(name) || isClass(target)) continue
    const property = fc.property(fc.array(value, { maxLength: 6 }), (parameters) => {
      callWith(name, target as (...parameters: unknown[]) => unknown, parameters)
    })
    fuzz(name, () => fc.assert(property, options))
  }
}
// Not to standard output: the calls write there too.
writeSync(3, JSON.stringify(progress))
// Watches and children that are still winding down must not keep the process.
process.exit(0)
