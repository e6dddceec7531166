/**
 * A function of the caller's as text for the guest, and the way back: where a frame of that text stands in the
 * caller's file.
 */
import { readFileSync } from 'node:fs'
import { SourceMap, type SourceMapPayload } from 'node:module'
import { fileURLToPath } from 'node:url'
import { errorTree } from './error-tree.ts'
import { usingHelpers } from './using-helpers.ts'

/** The name under which the guest evaluates the text: frames have it where others have a file. */
export const GUEST_SCRIPT = 'solo-guest-function'

/** vite's names in transformed code (vite/dist/node, `ssrTransform`; some versions of rolldown's say `__vi_`). */
const OUTER_IMPORT = /\b(?<module>__(?:vite_ssr|vi)_import_\d+__)(?:\.(?<name>[\w$]+))?/g

/** A place in a file; both count from 1. */
interface Place {
  readonly file: string
  readonly line: number
  readonly column: number
}

/** A function that goes to the guest. */
export class ShippedFunction {
  /** Its text. */
  readonly source: string
  /** Where `run` was called: for the stack, and to find the file. */
  readonly #callSite: Error

  /**
   * @param callSite - an error made where `run` was called
   * @throws TypeError it is no function that has a text, or it uses an import of its module
   */
  constructor(fn: (...args: never[]) => unknown, callSite: Error) {
    if (typeof fn !== 'function') throw new TypeError('run(): the first argument must be a function')
    this.source = asExpression(fn.toString())
    this.#callSite = callSite
    if (/\{\s*\[native code\]\s*\}$/.test(this.source))
      throw new TypeError('run(): a native or bound function has no text that could be sent to the guest')
    const helpers = usingHelpers(this.source)
    const outer = [...this.source.matchAll(OUTER_IMPORT)].find(
      ({ groups }) => !helpers.has(groups?.['module'] ?? ''),
    )
    if (outer) throw new TypeError(outsideMessage(outer.groups?.['name'] ?? outer[0]))
  }

  /** Makes an exception of the guest one that shows where it came from. Changes it in place, with those in it. */
  explain(error: unknown): unknown {
    for (const each of errorTree(error)) this.#explainOne(each, each === error)
    return error
  }

  #explainOne(error: Error, isOutermost: boolean): void {
    const missing = error instanceof ReferenceError ? missingName(error.message) : undefined
    if (missing !== undefined) error.message = outsideMessage(missing)
    const frames = String(error.stack ?? '')
      .split('\n')
      .filter((line) => /^\s+at /.test(line))
    const find = this.#locator()
    const guest = frames
      .filter((frame) => frame.includes(GUEST_SCRIPT))
      .map((frame) =>
        frame.replace(new RegExp(`${GUEST_SCRIPT}:(\\d+):(\\d+)`), (_, line: string, column: string) => {
          const place = find(Number(line), Number(column))
          return `${place.file}:${place.line}:${place.column}`
        }),
      )
    const own = isOutermost
      ? (this.#callSite.stack ?? '').split('\n').filter((line) => /^\s+at /.test(line))
      : []
    error.stack = [`${error.name}: ${error.message}`, ...guest, ...own].join('\n')
  }

  /** Maps a place of the text to the caller's file, as exactly as can be known. */
  #locator(): (line: number, column: number) => Place {
    const transformed = findTransformed(this.source)
    if (transformed) return transformed
    const site = firstPlace(this.#callSite.stack ?? '')
    const text = site && readText(site.file)
    const offset = text?.indexOf(this.source) ?? -1
    if (site && text !== undefined && offset >= 0) {
      const base = placeOf(text, offset)
      return (line, column) => ({ file: site.file, ...shift(base, line, column) })
    }
    // Types were stripped from the text: find the line by what is on it.
    const lines = this.source.split('\n')
    return (line, column) => {
      if (!site) return { file: GUEST_SCRIPT, line, column }
      const found = findLine(text ?? '', lines[line - 1] ?? '', site.line)
      return found === undefined ? site : { file: site.file, line: found, column }
    }
  }
}

/** What a reader is told of a name that the guest does not have. */
function outsideMessage(name: string): string {
  return (
    `the function given to run() uses \`${name}\` of the outer module, which is not in the guest: ` +
    'pass it as an argument or import it inside (`await import(…)`)'
  )
}

/** JavaScriptCore and V8 each have their words for it. */
function missingName(message: string): string | undefined {
  return /^(?:Can't find variable: ([\w$]+)|([\w$]+) is not defined)$/.exec(message)?.slice(1).find(Boolean)
}

/** A method's text (`name(a) { … }`) is no expression: make it one, without moving its columns' lines. */
function asExpression(text: string): string {
  const method = /^(?<async>async\s+)?(?<star>\*\s*)?(?!function\b|async\b|class\b)[\w$]+\s*\(/.exec(text)
  if (!method || /^(?:async\s*)?\([^)]*\)\s*=>|^[\w$]+\s*=>/.test(text)) return text
  const { async = '', star = '' } = method.groups ?? {}
  return `${async}function${star} ${text.slice((async + star).length)}`
}

interface ModuleNode {
  readonly file?: string
  /** `sourceMap` is JSON, of a file that was transformed in this run or before; older vitests put it into the code. */
  readonly meta?: { readonly code?: string; readonly sourceMap?: string }
}

/** In a vitest worker: the module whose transformed code has the text, and its source map. */
function findTransformed(source: string): ((line: number, column: number) => Place) | undefined {
  const worker = (globalThis as { __vitest_worker__?: VitestWorker }).__vitest_worker__
  for (const { file, meta } of worker?.evaluatedModules?.idToModuleMap?.values() ?? []) {
    const offset = meta?.code?.indexOf(source) ?? -1
    if (file === undefined || meta?.code === undefined || offset < 0) continue
    const base = placeOf(meta.code, offset)
    const map = sourceMapOf(meta.code, meta.sourceMap)
    return (line, column) => {
      const place = shift(base, line, column)
      const entry = map?.findEntry(place.line - 1, place.column - 1)
      if (!entry || !('originalLine' in entry)) return { file, ...place }
      return { file, line: entry.originalLine + 1, column: entry.originalColumn + 1 }
    }
  }
  return undefined
}

interface VitestWorker {
  readonly evaluatedModules?: { readonly idToModuleMap?: ReadonlyMap<string, ModuleNode> }
}

function sourceMapOf(code: string, beside: string | undefined): SourceMap | undefined {
  if (beside !== undefined) return new SourceMap(JSON.parse(beside) as SourceMapPayload)
  const url = /\/\/# sourceMappingURL=data:application\/json;[^,]*base64,([\w+/=]+)/.exec(code)?.[1]
  if (url === undefined) return undefined
  return new SourceMap(JSON.parse(Buffer.from(url, 'base64').toString()) as SourceMapPayload)
}

function placeOf(text: string, offset: number): { line: number; column: number } {
  const before = text.slice(0, offset).split('\n')
  return { line: before.length, column: (before.at(-1)?.length ?? 0) + 1 }
}

function shift(
  base: { line: number; column: number },
  line: number,
  column: number,
): { line: number; column: number } {
  return { line: base.line + line - 1, column: line === 1 ? base.column + column - 1 : column }
}

/** The first frame outside of this package's own client. */
function firstPlace(stack: string): Place | undefined {
  for (const line of stack.split('\n')) {
    const match = /(?:\(|at (?:async )?)((?:file:\/\/)?\/[^():]+):(\d+):(\d+)\)?$/.exec(line)
    const [, path, row, column] = match ?? []
    if (path === undefined) continue
    const file = path.startsWith('file://') ? fileURLToPath(path) : path
    return { file, line: Number(row), column: Number(column) }
  }
  return undefined
}

function readText(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8')
  } catch {
    return undefined
  }
}

/** The line that has the same words, nearest to where `run` was called; undefined when none has. */
function findLine(text: string, wanted: string, near: number): number | undefined {
  const words = (line: string): string => line.replaceAll(/["'`;\s]/g, '')
  const target = words(wanted)
  if (target.length < 3) return undefined
  const found = text.split('\n').flatMap((line, index) => (words(line) === target ? [index + 1] : []))
  return found.toSorted((a, b) => Math.abs(a - near) - Math.abs(b - near))[0]
}
