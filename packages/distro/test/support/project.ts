// The folder of an appliance, made for a test: its pin (solo.lock) and its build then stay out of the sources.
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { ApplianceConfig } from '../../src/config.ts'

/** Writes `solo.config.ts` into a new folder below `root`, and returns the folder. */
export function writeProject(root: string, config: ApplianceConfig): string {
  const folder = join(root, config.name)
  mkdirSync(folder, { recursive: true })
  writeFileSync(join(folder, 'solo.config.ts'), `export default ${JSON.stringify(config, undefined, 2)}\n`)
  return folder
}

/** Absolute path of a file of test/fixtures. */
export function fixture(path: string): string {
  return fileURLToPath(new URL(`../fixtures/${path}`, import.meta.url))
}
