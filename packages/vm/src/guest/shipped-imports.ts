/**
 * `import(…)` and `import.meta` in a text, by another name as long as that word, so that columns stay. Not by a regular
 * expression alone: a program that a function writes to a file says `import` in a string, which must stay.
 */

/** What ends a value, after which a slash divides; after anything else it begins a regular expression. */
const VALUE_END = /[\w$)\]}'"`]$/

/** Words after which a slash begins a regular expression, though they look like a value. */
const BEFORE_EXPRESSION =
  /(?<![\w$.])(?:return|typeof|case|do|else|in|of|instanceof|new|void|delete|throw|await|yield)$/

const PIECE = /\/\/[^\n]*|\/\*[^]*?\*\/|'(?:\\[^]|[^\\'\n])*'|"(?:\\[^]|[^\\"\n])*"|[`{}]|[\w$]+|\s+|[^]/g
const TEMPLATE_PART = /(?:\\[^]|\$(?!\{)|[^\\`$])*(?:`|\$\{|$)/y
const REGULAR_EXPRESSION = /\/(?:\\.|\[(?:\\.|[^\\\]\n])*\]|[^\\/[\n])+\/\w*/y
const CALL_OR_META = /(?:\s|\/\/[^\n]*|\/\*[^]*?\*\/)*[(.]/y

/** `source` with each `import` of its code, but for those in strings, templates and comments, named `name`. */
export function renameImports(source: string, name: string): string {
  let result = ''
  /** For each open brace whether it is `${` of a template. */
  const braces: boolean[] = []
  /** The last pieces that are neither space nor comment. */
  let before = ''
  const matchAt = (pattern: RegExp, at: number): string | undefined => {
    pattern.lastIndex = at
    return pattern.exec(source)?.[0]
  }
  let at = 0
  while (at < source.length) {
    PIECE.lastIndex = at
    let piece = PIECE.exec(source)?.[0] ?? ''
    const isQuiet = /^\s|^\/[/*]/.test(piece)
    if (piece === '/' && (!VALUE_END.test(before) || BEFORE_EXPRESSION.test(before)))
      piece = matchAt(REGULAR_EXPRESSION, at) ?? piece
    if (piece === '{') braces.push(false)
    const endsPlaceholder = piece === '}' && braces.pop() === true
    if (piece === '`' || endsPlaceholder) {
      piece += matchAt(TEMPLATE_PART, at + 1) ?? ''
      if (piece.endsWith('${')) braces.push(true)
    }
    const isImport =
      piece === 'import' &&
      !/(?<!\.\.)\.$/.test(before) &&
      matchAt(CALL_OR_META, at + piece.length) !== undefined
    result += isImport ? name : piece
    // A template goes on in its placeholder: what comes there is an expression.
    if (!isQuiet) before = piece.endsWith('${') ? '(' : (before + piece).slice(-20)
    at += piece.length
  }
  return result
}
