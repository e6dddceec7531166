/** Words that must not be in tracked files: places that exist on one machine only, and registries' hosts. */
import type { Source, Violation } from './sources.ts'

/** Each with a character class in it, so that this file does not break its own rule. */
const forbidden: [RegExp, string][] = [
  [/registry\.(npmj[s]|yarnpk[g])/, 'names a registry host: npm and Bun know theirs'],
  [/(^|[\s'"`(=])\/wor[k]\//m, 'names a path of one machine'],
  [/(^|[\s'"`(=])\/tmp\/(bu[n]\/|env\.s[h]|contrac[t])/m, 'names a path of one machine'],
]

/** Lines with registry hosts or paths of one machine. */
export function checkText(sources: Source[]): Violation[] {
  return sources.flatMap(({ path, text }) =>
    text
      .split('\n')
      .flatMap((line, index) =>
        forbidden
          .filter(([pattern]) => pattern.test(line))
          .map(([, message]) => ({ path, line: index + 1, message })),
      ),
  )
}
