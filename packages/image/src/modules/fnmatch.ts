/** The patterns of module aliases: `*`, `?`, `[0-9a-f]`, `[!x]`, as fnmatch(3) without flags matches them. */

/** Whether a text is a pattern rather than a plain name. */
export function isPattern(text: string): boolean {
  return /[*?[]/.test(text)
}

/** depmod and modprobe take `-` and `_` as one, but for the insides of brackets (kmod, alias_normalize). */
export function normalizeAlias(alias: string): string {
  return alias.includes('-')
    ? alias.replaceAll(/\[[^\]]*\]|-/g, (part) => (part === '-' ? '_' : part))
    : alias
}

/**
 * Whether all of `text` matches `pattern`. At a mismatch only the last `*` takes one character more, which is
 * enough for whole-text patterns and keeps the time to pattern × text.
 */
export function fnmatch(pattern: string, text: string): boolean {
  let inPattern = 0
  let inText = 0
  let star: { readonly afterStar: number; inText: number } | undefined
  while (inText < text.length) {
    if (pattern[inPattern] === '*') {
      star = { afterStar: ++inPattern, inText }
      continue
    }
    const end = matchOne(pattern, inPattern, text.charAt(inText))
    if (end === undefined) {
      if (!star) return false
      inPattern = star.afterStar
      inText = ++star.inText
      continue
    }
    inPattern = end
    inText++
  }
  while (pattern[inPattern] === '*') inPattern++
  return inPattern === pattern.length
}

/** The index in `pattern` after what matched `character` at `at`; undefined if it does not match. */
function matchOne(pattern: string, at: number, character: string): number | undefined {
  const sign = pattern[at]
  if (sign === '?') return at + 1
  if (sign === '\\') return pattern[at + 1] === character ? at + 2 : undefined
  // A bracket without its end stands for itself.
  const end = sign === '[' ? pattern.indexOf(']', at + (/[!^]/.test(pattern.charAt(at + 1)) ? 3 : 2)) : -1
  if (end === -1) return sign === character ? at + 1 : undefined
  const negated = /[!^]/.test(pattern.charAt(at + 1))
  const set = pattern.slice(at + (negated ? 2 : 1), end)
  return isInSet(set, character) === negated ? undefined : end + 1
}

function isInSet(set: string, character: string): boolean {
  for (let at = 0; at < set.length; at++) {
    const isRange = set[at + 1] === '-' && at + 2 < set.length
    const last = isRange ? set.charAt(at + 2) : set.charAt(at)
    if (character >= set.charAt(at) && character <= last) return true
    if (isRange) at += 2
  }
  return false
}
