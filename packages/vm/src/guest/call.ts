/** Carrying out a function that came as text. */
import { errorTree } from '../agent/error-tree.ts'
import { GUEST_SCRIPT } from '../agent/shipped-function.ts'
import type { RunRequest } from '../agent/protocol.ts'
import { travellingCopy } from '../agent/travelling.ts'
import { usingHelpers } from '../agent/using-helpers.ts'
import { renameImports } from './shipped-imports.ts'
import { importInGuest } from './system-modules.ts'

type AnyFunction = (...args: readonly unknown[]) => unknown

/**
 * The name by which `import` is replaced: as long as that word, so that columns stay. `eval`'s own import would
 * resolve against the agent's bundle.
 */
const IMPORT = '$mport'

/** Names that transformed code uses for `import()` and `import.meta` (vite/dist/node, ssrTransform). */
const parameterNames = [
  IMPORT,
  '__vite_ssr_dynamic_import__',
  '__vi_dynamic_import__',
  '__vite_ssr_import_meta__',
  '__vi_import_meta__',
]

const meta = {
  url: `file:///${GUEST_SCRIPT}`,
  filename: `/${GUEST_SCRIPT}`,
  dirname: '/',
  main: false,
  env: process.env,
}
const dynamicImport = Object.assign(importInGuest, { meta })

/** Makes the function of a text. Its first line is the script's first line. @throws SyntaxError */
export function compile(source: string): AnyFunction {
  const text = renameImports(source, IMPORT)
  // The wrapper ends before the text's line, so that line 1, column 1 of the text is line 2: see `relative`.
  const helpers = usingHelpers(source)
  const names = [...parameterNames, ...helpers.keys()]
  const script = `(function (${names.join()}) { return (\n${text}\n) })\n//# sourceURL=${GUEST_SCRIPT}`
  // oxlint-disable-next-line no-eval -- to run the caller's text is what the guest is for
  const wrapper = (0, eval)(script) as AnyFunction
  return wrapper(dynamicImport, dynamicImport, dynamicImport, meta, meta, ...helpers.values()) as AnyFunction
}

/**
 * Calls it, or polls it.
 *
 * @returns its result; `never` when it gave nothing truthy in time
 * @throws what it throws, with a stack in the text's own lines
 */
export async function call({ source, args, poll }: RunRequest): Promise<{ value: unknown } | 'never'> {
  try {
    const fn = compile(source)
    if (!poll) return { value: await fn(...args) }
    return await within(poll.timeoutMs, async (isOver) => {
      while (!isOver()) {
        const value = await fn(...args)
        if (value) return { value }
        await new Promise((resolve) => setTimeout(resolve, poll.intervalMs))
      }
      return 'never'
    })
  } catch (error) {
    throw relative(error)
  }
}

/** What `attempt` gives, or `never` when its time is over before: a function may wait for what never comes. */
async function within<T>(
  timeoutMs: number,
  attempt: (isOver: () => boolean) => Promise<T>,
): Promise<T | 'never'> {
  let isOver = false
  let timer: NodeJS.Timeout | undefined
  const expired = new Promise<'never'>((resolve) => {
    const expire = (): void => {
      isOver = true
      resolve('never')
    }
    if (Number.isFinite(timeoutMs)) timer = setTimeout(expire, timeoutMs)
  })
  try {
    return await Promise.race([attempt(() => isOver), expired])
  } finally {
    clearTimeout(timer)
  }
}

/** Frames of the text count from its first line; those of the agent below it are left out. */
function relative(thrown: unknown): unknown {
  const isFixed = (each: Error): boolean =>
    !Object.isExtensible(each) || Object.getOwnPropertyDescriptor(each, 'stack')?.configurable === false
  const error = [...errorTree(thrown)].some(isFixed) ? travellingCopy(thrown) : thrown
  for (const each of errorTree(error)) {
    const lines = (typeof each.stack === 'string' ? each.stack : String(each)).split('\n')
    const last = lines.findLastIndex((line) => line.includes(GUEST_SCRIPT))
    const kept = last < 0 ? lines : lines.slice(0, last + 1)
    const place = new RegExp(`${GUEST_SCRIPT}:(\\d+):`, 'g')
    const stack = kept.join('\n').replaceAll(place, (_, line) => `${GUEST_SCRIPT}:${Number(line) - 1}:`)
    Object.defineProperty(each, 'stack', { value: stack, configurable: true, writable: true })
  }
  return error
}
