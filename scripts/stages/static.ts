/** The checks that run no test: types, lint, format, the build, and what others will see of the packages. */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { $ } from 'zx'
import { packageFolders } from '../exports.ts'
import { commandStage, type Stage, type StageResult } from './stage.ts'

/** Two cores: more tasks at a time only make each slower. */
const turbo = [
  'bun',
  '--bun',
  'turbo',
  'run',
  '--concurrency=2',
  '--output-logs=errors-only',
  '--ui=stream',
  '--continue',
]

/** A tool of node_modules, run by Bun whatever its first line says. */
function bun(...words: string[]): string[] {
  return ['bun', '--bun', ...words]
}

/**
 * All static stages, in the order of their cost.
 *
 * @param root - the repository's folder
 */
export function staticStages(root: string): Stage[] {
  return [
    commandStage('package.json exports', root, ['bun', 'scripts/exports.ts', '--check']),
    commandStage('format', root, bun('oxfmt', '--check')),
    commandStage('lint', root, bun('oxlint')),
    // One program for all packages: one each would read the same libraries and sources seven times.
    commandStage('typecheck', root, [...turbo, 'typecheck:packages', 'typecheck:root']),
    commandStage('build', root, [...turbo, 'build']),
    commandStage('knip', root, bun('knip')),
    { name: 'publint and attw', run: () => checkPackages(root) },
  ]
}

/** Packs every package as npm would and lets publint and attw look at the archive. */
async function checkPackages(root: string): Promise<StageResult> {
  const work = join(root, '.cache/packed')
  const quiet = $({ cwd: root, nothrow: true, quiet: true })
  await quiet`rm -rf ${work} && mkdir -p ${work}`
  const folders = packageFolders().filter((folder) => hasExports(folder))
  const unbuilt = folders.filter((folder) => !existsSync(join(folder, 'dist')))
  if (unbuilt.length > 0) return { passed: 0, failed: 1, output: `not built: ${unbuilt.join(', ')}` }
  const packed = await quiet`npm pack --silent --pack-destination ${work} ${folders}`
  if (packed.exitCode !== 0) return { passed: 0, failed: 1, output: packed.stdall }
  const failures: string[] = []
  const archives = readdirSync(work).map((name) => join(work, name))
  for (const archive of archives) {
    // One for each core.
    const results = await Promise.all([
      quiet`bun --bun publint run --strict ${archive}`,
      quiet`bun --bun attw --profile esm-only --no-emoji --format ascii ${archive}`,
    ])
    for (const result of results) if (result.exitCode !== 0) failures.push(`${archive}:\n${result.stdall}`)
  }
  return { passed: failures.length === 0 ? 1 : 0, failed: failures.length, output: failures.join('\n') }
}

function hasExports(folder: string): boolean {
  const manifest = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as { exports: object }
  return Object.keys(manifest.exports).length > 1
}
