/** fnmatch(3) without flags, the way modules.alias patterns are matched: `*`, `?`, `[a-z]`, `[!a-z]`, `\x`. */

/** Whether the whole of `text` matches `pattern`. */
export function fnmatch(pattern: string, text: string): boolean {
  let at = 0
  let place = 0
  // Where to go on after a mismatch: the last star may take one character more.
  let star = -1
  let starText = 0
  while (place < text.length) {
    if (pattern[at] === '*') {
      star = at++
      starText = place
      continue
    }
    const next = matchOne(pattern, at, text[place] ?? '')
    if (next > 0) {
      at = next
      place += 1
    } else if (star >= 0) {
      at = star + 1
      place = ++starText
    } else {
      return false
    }
  }
  while (pattern[at] === '*') at += 1
  return at === pattern.length
}

/** Matches one character; returns where the pattern goes on, or 0. */
function matchOne(pattern: string, at: number, character: string): number {
  const symbol = pattern[at]
  if (symbol === undefined) return 0
  if (symbol === '?') return at + 1
  if (symbol === '[') {
    const close = closingBracket(pattern, at)
    if (close > 0) return inBrackets(pattern.slice(at + 1, close), character) ? close + 1 : 0
  }
  if (symbol === '\\' && at + 1 < pattern.length) return pattern[at + 1] === character ? at + 2 : 0
  return symbol === character ? at + 1 : 0
}

/** A `]` right after the opening (or its `!`) stands for itself. */
function closingBracket(pattern: string, open: number): number {
  const first = open + 1 + (isNegation(pattern[open + 1]) ? 1 : 0)
  return pattern.indexOf(']', first + 1)
}

function isNegation(symbol: string | undefined): boolean {
  return symbol === '!' || symbol === '^'
}

function inBrackets(inner: string, character: string): boolean {
  const negated = isNegation(inner[0])
  let found = false
  for (let at = negated ? 1 : 0; at < inner.length; at++) {
    const from = inner[at] ?? ''
    if (inner[at + 1] === '-' && at + 2 < inner.length) {
      found ||= from <= character && character <= (inner[at + 2] ?? '')
      at += 2
    } else {
      found ||= from === character
    }
  }
  return found !== negated
}
