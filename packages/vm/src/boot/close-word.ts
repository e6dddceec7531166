/** Finds the word that somebody may have meant. */

/** The word of `known` that is nearest to `word`: one that it begins or that begins it, or with a few other letters. */
export function closeWord(word: string, known: readonly string[]): string | undefined {
  const wanted = word.toLowerCase()
  const distance = (other: string): number => {
    const each = other.toLowerCase()
    const isBeginning = wanted.length > 2 && (each.startsWith(wanted) || wanted.startsWith(each))
    return isBeginning ? 1 : editDistance(wanted, each)
  }
  const [nearest] = known
    .map((each) => [distance(each), each] as const)
    .toSorted(([first], [second]) => first - second)
  return nearest && nearest[0] <= Math.max(1, Math.floor(word.length / 3)) ? nearest[1] : undefined
}

/** Letters to change, add or leave out (Levenshtein), row by row. */
function editDistance(from: string, to: string): number {
  let row = Array.from({ length: to.length + 1 }, (_, index) => index)
  for (let index = 0; index < from.length; index++) {
    const next = [index + 1]
    for (let at = 1; at <= to.length; at++) {
      const changed = (row[at - 1] ?? 0) + (from[index] === to[at - 1] ? 0 : 1)
      next.push(Math.min(changed, (row[at] ?? 0) + 1, (next[at - 1] ?? 0) + 1))
    }
    row = next
  }
  return row.at(-1) ?? 0
}
