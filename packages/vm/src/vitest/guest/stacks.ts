/**
 * Stacks that the garbage collector was faster to write than the source maps. Vite maps a stack to its sources when it
 * is first read (`Error.prepareStackTrace`); but when the collector comes by before that, Bun (JavaScriptCore) writes
 * the stack down by itself, with positions of the transformed code. In a small guest that is every other stack. Here
 * such stacks are recognised, and mapped by Vite after all.
 */

type Prepare = (error: Error, frames: unknown[]) => string

/** An error on its way to the host. */
interface ReportedError {
  stack?: string
  cause?: unknown
  errors?: unknown
}

/** Stacks that are remembered as mapped: errors are reported soon after their stack was read. */
const REMEMBERED_STACKS = 500

/** A frame as Bun writes it: `at name (file:line:column)` or `at file:line:column`. */
const FRAME_LINE = /^ {4}at (?:(.+) \((.+):(\d+):(\d+)\)|(\S+):(\d+):(\d+))$/

/** Watches how stacks are written, and mends those that were not mapped. */
export class StackMapper {
  readonly #mapped = new Set<string>()
  #prepare: Prepare | undefined

  /** Begins to watch; to be called when Vite's module runner has set its `Error.prepareStackTrace`. */
  install(): void {
    const vite = Reflect.get(Error, 'prepareStackTrace') as Prepare | undefined
    if (this.#prepare !== undefined || vite === undefined) return
    this.#prepare = vite
    Error.prepareStackTrace = (error, frames) => {
      const stack = vite(error, frames)
      this.#remember(stack)
      return stack
    }
  }

  /** Mends the stacks of all errors in a message to the host. */
  mend(method: string | undefined, parameters: readonly unknown[]): void {
    const [first] = parameters
    if (method === 'onUnhandledError') this.#mendError(first)
    // Packs are `[id, result, meta]`, collected files are tasks: both have a `result`.
    if (method === 'onTaskUpdate')
      for (const [, result] of first as [string, { errors?: unknown[] } | undefined][])
        this.#mendAll(result?.errors)
    if (method === 'onCollected')
      for (const file of first as { result?: { errors?: unknown[] } }[]) this.#mendAll(file.result?.errors)
  }

  #mendAll(errors: unknown): void {
    if (Array.isArray(errors)) for (const error of errors) this.#mendError(error)
  }

  #mendError(value: unknown): void {
    if (typeof value !== 'object' || value === null) return
    const error = value as ReportedError
    const { stack, cause, errors } = error
    if (typeof stack === 'string' && !this.#mapped.has(framesOf(stack))) {
      error.stack = this.#map(stack)
      this.#remember(error.stack)
    }
    if (cause !== error) this.#mendError(cause)
    this.#mendAll(errors)
  }

  #map(stack: string): string {
    const frames = framesOf(stack)
    if (frames === '' || this.#prepare === undefined) return stack
    const sites = frames.split('\n').map((line) => new WrittenFrame(line))
    return stack.slice(0, stack.length - frames.length) + framesOf(this.#prepare(new Error(), sites))
  }

  #remember(stack: string): void {
    this.#mapped.add(framesOf(stack))
    if (this.#mapped.size <= REMEMBERED_STACKS) return
    const [oldest] = this.#mapped
    if (oldest !== undefined) this.#mapped.delete(oldest)
  }
}

/** The frames of a stack, without the message, which may change. */
function framesOf(stack: string): string {
  const start = stack.search(/^ {4}at /m)
  return start === -1 ? '' : stack.slice(start)
}

/** A frame of a written stack, as a call site: Vite asks call sites where they are. */
class WrittenFrame {
  readonly #line: string
  readonly #name: string | null
  readonly #file: string | null
  readonly #place: readonly [line: number, column: number]

  constructor(line: string) {
    const match = FRAME_LINE.exec(line)
    const [, name, file, row, column, onlyFile, onlyRow, onlyColumn] = match ?? []
    this.#line = line.replace(/^ {4}at /, '')
    this.#name = name === undefined || name === '<anonymous>' ? null : name
    this.#file = file ?? onlyFile ?? null
    this.#place = [Number(row ?? onlyRow), Number(column ?? onlyColumn)]
  }

  isNative(): boolean {
    return this.#file === null || this.#file === 'native'
  }
  getFileName(): string | null {
    return this.#file
  }
  getScriptNameOrSourceURL(): string | null {
    return this.#file
  }
  getLineNumber(): number {
    return this.#place[0]
  }
  getColumnNumber(): number {
    return this.#place[1]
  }
  getFunctionName(): string | null {
    return this.#name
  }
  getTypeName(): null {
    return null
  }
  getMethodName(): null {
    return null
  }
  isToplevel(): boolean {
    return true
  }
  isConstructor(): boolean {
    return false
  }
  // "async " is part of the name here. Vite asks since 8.4.
  isAsync(): boolean {
    return false
  }
  getPromiseIndex(): null {
    return null
  }
  isEval(): boolean {
    return false
  }
  getEvalOrigin(): undefined {
    return undefined
  }
  toString(): string {
    // Reporters pass over native frames, if these have no position.
    return this.isNative() ? `${this.#name ?? '<anonymous>'} (native)` : this.#line
  }
}
