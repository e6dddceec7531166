/**
 * `using` in a function that goes to the guest. Compilers for older engines turn it into calls of helpers, which stand
 * outside of the function and so outside of its text: the guest has helpers of the same names.
 *
 * - Vite (oxc), which vitest runs: `_usingCtx = (0,__vite_ssr_import_1__.default)()`, a context with `u`, `a`, `d`, `e`
 * - esbuild and Bun's bundler: `__using(stack, value, async)`, `__callDispose(stack, error, hasError)`
 * - TypeScript: `__addDisposableResource(env, value, async)`, `__disposeResources(env)`
 *
 * @see https://github.com/tc39/proposal-explicit-resource-management
 */

/** How to end one resource; for one of `await using`, the result is awaited. */
interface Resource {
  readonly dispose: (() => unknown) | undefined
  readonly isAsync: boolean
}

/** What TypeScript's code keeps of a block. */
interface Environment {
  readonly stack: Resource[]
  error: unknown
  hasError: boolean
}

/** The helper of each name; Bun adds a hash. */
const BY_NAME: readonly (readonly [name: RegExp, helper: unknown])[] = [
  [/\b__using(?:_\w+)?\b/g, add],
  [/\b__callDispose(?:_\w+)?\b/g, disposeAll],
  [
    /\b__addDisposableResource\b/g,
    ({ stack }: Environment, value: unknown, isAsync: boolean) => add(stack, value, isAsync),
  ],
  [
    /\b__disposeResources\b/g,
    ({ stack, error, hasError }: Environment) => disposeAll(stack, error, hasError),
  ],
]

/** How oxc's code begins; the name is that of an import of the module. */
const CONTEXT = /\b_usingCtx\w* = \(0, ?(?<name>\w+)\.default\)\(\)/g

/** What of a text's names is such a helper, with the helper. */
export function usingHelpers(source: string): ReadonlyMap<string, unknown> {
  const found = new Map<string, unknown>()
  for (const [name, helper] of BY_NAME) for (const [word] of source.matchAll(name)) found.set(word, helper)
  for (const { groups } of source.matchAll(CONTEXT)) found.set(groups?.['name'] ?? '', { default: context })
  return found
}

/** `using` where `isAsync` is falsy, `await using` else. @throws TypeError the value cannot be disposed of */
function add<T>(stack: Resource[], value: T, isAsync?: boolean | number): T {
  if (value === null || value === undefined) {
    // `await using` awaits even then.
    if (isAsync) stack.push({ dispose: undefined, isAsync: true })
    return value
  }
  const { [Symbol.asyncDispose]: later, [Symbol.dispose]: now } = value as Partial<
    AsyncDisposable & Disposable
  >
  const dispose = (isAsync ? later : undefined) ?? now
  if (typeof dispose !== 'function') throw new TypeError(`${String(value)} is not disposable`)
  stack.push({ dispose: () => dispose.call(value), isAsync: Boolean(isAsync) })
  return value
}

/**
 * Ends all resources, the last first.
 *
 * @returns undefined; a promise once one has to be awaited
 * @throws `error` of the block if `hasError`; errors on the way are SuppressedErrors around the earlier ones
 */
function disposeAll(
  stack: Resource[],
  error: unknown,
  hasError?: boolean | number,
): Promise<void> | undefined {
  let failed = Boolean(hasError)
  let failure = error
  const fail = (next: unknown): void => {
    failure = failed ? new SuppressedError(next, failure, 'An error was suppressed during disposal') : next
    failed = true
  }
  const rest = (): Promise<void> | undefined => {
    for (let last = stack.pop(); last; last = stack.pop())
      try {
        const ended = last.dispose?.()
        if (last.isAsync) return Promise.resolve(ended).catch(fail).then(rest)
      } catch (next) {
        fail(next)
      }
    if (failed) throw failure
    return undefined
  }
  return rest()
}

/** oxc's context of a block. */
function context(): object {
  const stack: Resource[] = []
  const block = {
    u: (value: unknown) => add(stack, value, false),
    a: (value: unknown) => add(stack, value, true),
    d: () => disposeAll(stack, block.failure, block.hasFailed),
    hasFailed: false,
    failure: undefined as unknown,
    set e(error: unknown) {
      block.failure = error
      block.hasFailed = true
    },
  }
  return block
}
