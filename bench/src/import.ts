// Import: what a program pays for an area of @pkg/sys before its first line, in fresh processes: nobody imports twice.
// Counted is processor time, which others on the machine do not change much, of the package as it is published.
import { execFileSync, spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { type Row, rowOf } from './report.ts'

/** What an area may cost, in milliseconds. */
const areaLimit = 5

/** Areas of calls, small and large; the last two are made of several. */
const areas = ['fs', 'io', 'process', 'socket', 'mount', 'namespace', 'time', 'reactor', 'signal', 'spawn']

const empty = fileURLToPath(new URL('contestants/empty.ts', import.meta.url))
const contestant = fileURLToPath(new URL('contestants/import.ts', import.meta.url))

const published = fileURLToPath(new URL('../../packages/sys/', import.meta.url))

/** Imports each area once in every round, and an empty module beside them. */
export function measureImports(
  rounds: number,
  prefix: readonly string[],
  say: (line: string) => void,
): Row[] {
  say('bench: import: building @pkg/sys')
  execFileSync(process.execPath, ['run', 'build'], { cwd: published, stdio: 'ignore' })
  const specifiers = [empty, ...areas.map(fileOf)]
  const results = new Map<string, number[]>(specifiers.map((specifier) => [specifier, []]))
  // The first round fills the page cache, and is not counted.
  for (let round = 0; round <= rounds; round++) {
    if (round % 5 === 0) say(`bench: import: round ${round} of ${rounds}`)
    for (const specifier of specifiers) {
      const timeNs = measureImport(specifier, prefix)
      if (round > 0) results.get(specifier)?.push(timeNs)
    }
  }
  return areas.map((area) =>
    rowOf(
      ...[`import @pkg/sys/${area}`, 'an empty module', 'ms' as const],
      ...[results.get(fileOf(area)), results.get(empty)],
      { limit: areaLimit },
    ),
  )
}

function fileOf(area: string): string {
  return `${published}dist/${area}.js`
}

/** What an import takes in a fresh process, in nanoseconds. */
function measureImport(specifier: string, prefix: readonly string[]): number {
  const [wrapper, ...rest] = [...prefix, process.execPath]
  const { status, stdout, stderr } = spawnSync(
    wrapper ?? process.execPath,
    [...rest, contestant, specifier],
    {
      encoding: 'utf8',
    },
  )
  if (status !== 0) throw new Error(`import of ${specifier}: ${stderr.trim()}`)
  return Number(stdout)
}
