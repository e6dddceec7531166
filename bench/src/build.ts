// Build: what a developer waits for after an edit, against a build with nothing but the packages in the cache.
import { execFileSync } from 'node:child_process'
import { appendFileSync, cpSync, mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type Row, rowOf } from './report.ts'

const solo = fileURLToPath(new URL('../../packages/distro/src/solo.ts', import.meta.url))

/** What a build after an edit may take, in seconds: issue 4. */
const warmLimit = 1.5

/**
 * Builds the disk of examples/hello, cold and warm in each round. Both are whole runs of the command; the packages are
 * there already, so that no mirror is measured.
 *
 * @throws Error when a build fails
 */
export function measureBuilds(rounds: number, say: (line: string) => void): Row[] {
  const folder = fileURLToPath(new URL('../../.cache/bench/build', import.meta.url))
  rmSync(folder, { recursive: true, force: true })
  const [project, cache] = [join(folder, 'hello'), join(folder, 'cache')]
  mkdirSync(project, { recursive: true })
  const hello = fileURLToPath(new URL('../../examples/hello', import.meta.url))
  for (const name of ['solo.config.ts', 'package.json', 'src']) {
    cpSync(join(hello, name), join(project, name), { recursive: true })
  }
  say('bench: build: fetching packages')
  build(project, cache)
  const results: Record<'cold' | 'warm', Took[]> = { cold: [], warm: [] }
  for (let round = 0; round < rounds; round++) {
    say(`bench: build: round ${round + 1} of ${rounds}`)
    keepOnlyPackages(cache)
    results.cold.push(build(project, cache))
    appendFileSync(join(project, 'src/server.ts'), `console.log('edit ${round}')\n`)
    results.warm.push(build(project, cache))
  }
  rmSync(folder, { recursive: true })
  const of = (kind: 'cold' | 'warm', what: keyof Took): number[] => results[kind].map((took) => took[what])
  return [
    rowOf('build after an edit', 'cold build', 's', of('warm', 'wallNs'), of('cold', 'wallNs'), {
      limit: warmLimit,
    }),
    // What it costs on a busy machine too, where the clock tells of others.
    rowOf('processor time of that', 'cold build', 's', of('warm', 'cpuNs'), of('cold', 'cpuNs')),
  ]
}

/** What a build took, in nanoseconds. */
interface Took {
  wallNs: number
  /** Of all its threads and children. */
  cpuNs: number
}

function build(project: string, cache: string): Took {
  const start = performance.now()
  const { exitCode, stderr, resourceUsage } = Bun.spawnSync([process.execPath, solo, 'build', project], {
    env: { ...process.env, SOLO_CACHE_DIR: cache },
    stdout: 'ignore',
    stderr: 'pipe',
  })
  if (exitCode !== 0) throw new Error(`solo build: ${stderr.toString().trim()}`)
  return { wallNs: (performance.now() - start) * 1e6, cpuNs: Number(resourceUsage.cpuTime.total) * 1e3 }
}

function keepOnlyPackages(cache: string): void {
  const kept = ['packages', 'apt'].flatMap((name) => ['!', '-name', name])
  execFileSync('find', [cache, '-mindepth', '1', '-maxdepth', '1', ...kept, '-exec', 'rm', '-r', '{}', '+'])
}
