/** The order of the set-up, and which program each npm script stands for. */
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { ensureBun } from './bun.mjs'
import { Interrupted, runProgram, watchSignals } from './children.mjs'
import { ensureDependencies } from './dependencies.mjs'
import { say, SetupError } from './report.mjs'
import { ensureSystemPackages } from './system-packages.mjs'

const root = join(dirname(fileURLToPath(import.meta.url)), '../..')

/** What each npm script runs under Bun; the user's own arguments follow. */
const programs = {
  start: ['packages/distro/src/solo.ts', 'run', 'examples/hello'],
  solo: ['packages/distro/src/solo.ts'],
  bench: ['bench/src/main.ts'],
  test: ['scripts/test.ts'],
  torture: ['scripts/torture.ts'],
}

/**
 * Sets the machine up for one command and runs it.
 *
 * @param {string[]} words - the command's name and its arguments
 * @returns {Promise<number>} the exit status
 */
export async function main([command = '', ...userArguments]) {
  const program = programs[command]
  if (program === undefined) {
    say(`unknown command '${command}': expected one of ${Object.keys(programs).join(', ')}`)
    return 2
  }
  watchSignals()
  try {
    if (process.platform !== 'linux') {
      throw new SetupError(`this needs Linux, and this machine runs ${process.platform}`, [
        'use a Linux machine, virtual machine or container (Debian 12, 13 or Ubuntu)',
      ])
    }
    // Turbo would tell its makers about every run.
    const environment = { ...process.env, TURBO_TELEMETRY_DISABLED: '1' }
    const bun = await ensureBun(root, environment)
    environment.PATH = `${dirname(bun)}:${process.env.PATH ?? ''}`
    await ensureDependencies(root, bun, environment)
    await ensureSystemPackages(command, environment)
    return await runProgram(bun, [...program, ...userArguments], { cwd: root, env: environment })
  } catch (error) {
    if (error instanceof Interrupted) return error.exitStatus
    if (!(error instanceof SetupError)) throw error
    say(error.message)
    for (const hint of error.hints) say(`  ${hint}`)
    return 1
  }
}
