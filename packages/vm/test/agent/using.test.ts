// `using` in functions for the guest, as it is after each compiler for older engines.
import { readFile } from 'node:fs/promises'
import { ModuleKind, ScriptTarget, transpileModule } from 'typescript'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { AgentClient } from '../../src/agent.ts'
import { type HostAgent, startAgent } from './host-agent.ts'

let agent: HostAgent
let client: AgentClient

beforeAll(async () => {
  agent = await startAgent()
  ;({ client } = agent)
})

afterAll(() => agent[Symbol.asyncDispose]())

/** What happened, in its order; errors with the ones that they suppressed. */
const source = `async (fails) => {
  const log = []
  const note = (text) => log.push(text)
  const told = (error) => error instanceof SuppressedError ? [told(error.error), told(error.suppressed)] : error.message
  const end = (name) => ({
    name,
    [Symbol.dispose]() { note('end ' + this.name); if (fails.includes(name)) throw new Error(name) },
  })
  const later = (name) => ({
    async [Symbol.asyncDispose]() { await 0; note('later ' + name); if (fails.includes(name)) throw new Error(name) },
  })
  const plain = () => {
    using first = end('a')
    using nothing = null
    using second = end('b')
    note('in the block of ' + first.name + second.name + nothing)
    if (fails.includes('block')) throw new Error('block')
    return 'plain'
  }
  const awaiting = async () => {
    await using first = later('c')
    using second = end('d')
    await using nothing = undefined
    await using third = end('e')
    if (fails.includes('async block')) throw new Error('async block')
    for (using each of [end('f'), end('g')]) note('round ' + each.name)
    return 'awaiting'
  }
  const misused = () => { using wrong = 5; note(wrong) }
  try { note(plain()) } catch (error) { note(told(error)) }
  try { note(await awaiting()) } catch (error) { note(told(error)) }
  try { misused() } catch (error) { note(error.name) }
  return log
}`

/** The function of a compiler's output; it is sent to the guest and never called here. */
function functionOf(code: string): (fails: readonly string[]) => Promise<unknown[]> {
  const body = code.replaceAll(/^import .*$/gm, '')
  // oxlint-disable-next-line no-implied-eval -- what a compiler wrote can be had in no other way
  return new Function(`${body}\nreturn fn`)() as (fails: readonly string[]) => Promise<unknown[]>
}

const FAILURES = [[], ['block'], ['b'], ['a', 'b', 'block'], ['c', 'd'], ['e', 'c', 'async block'], ['f']]

test.each([
  [
    'TypeScript',
    (text: string) =>
      transpileModule(text, { compilerOptions: { target: ScriptTarget.ES2022, module: ModuleKind.ESNext } })
        .outputText,
    '__disposeResources(',
  ],
  ['Bun’s bundler', (text: string) => new Bun.Transpiler().transformSync(text), '__callDispose_'],
] as const)('run() of code of %s disposes as the engine itself does', async (_, compile, helper) => {
  // TypeScript writes its helpers before the code: without them, as with `importHelpers` or `noEmitHelpers`.
  const native = functionOf(`const fn = ${source}`)
  const compiled = functionOf(
    compile(`const fn = ${source}`).replace(/^[\s\S]*?(?=^(?:const|let|var) fn)/m, ''),
  )
  expect(compiled.toString()).toContain(helper)
  for (const fails of FAILURES) {
    const expected = await native(fails)
    expect(expected.length).toBeGreaterThan(8)
    expect(await client.run(compiled, fails)).toEqual(expected)
  }
})

test('run() of code of vitest disposes, in reverse, before it returns', async () => {
  const fn = async (): Promise<string[]> => {
    const log: string[] = []
    const note = (name: string): Disposable => ({ [Symbol.dispose]: () => void log.push(name) })
    const later = async (name: string): Promise<void> => void log.push(name)
    {
      using _first = note('first')
      await using _second = { [Symbol.asyncDispose]: () => later('second') }
      using _third = note('third')
      log.push('block')
    }
    return log
  }
  expect(fn.toString()).toContain('_usingCtx')
  expect(await client.run(fn)).toEqual(['block', 'third', 'second', 'first'])
  expect(
    await client.run(() => {
      using path = { name: 'x', [Symbol.dispose]() {} }
      return path.name
    }),
  ).toBe('x')
})

test('run() throws both errors where disposal fails too, at their lines', async () => {
  const thrown = await client
    .run(() => {
      using _path = {
        [Symbol.dispose]() {
          throw new RangeError('disposal') // the line that hides
        },
      }
      throw new TypeError('block') // the line that is hidden
    })
    .catch((reason: unknown) => reason as SuppressedError)
  const { error, suppressed } = thrown as { error: Error; suppressed: Error }
  expect(thrown).toBeInstanceOf(SuppressedError)
  expect(error).toBeInstanceOf(RangeError)
  expect(suppressed).toBeInstanceOf(TypeError)
  const lines = (await readFile(new URL(import.meta.url), 'utf8')).split('\n')
  const lineOf = ({ stack }: Error): string | undefined =>
    lines[Number(/using\.test\.ts:(\d+):/.exec(stack ?? '')?.[1]) - 1]
  expect(lineOf(error)).toContain('// the line that hides')
  expect(lineOf(suppressed)).toContain('// the line that is hidden')
})
