/** Runs a fixture project by a vitest of its own, as a user would, in a copy of it. */
import { spawn, type ChildProcess } from 'node:child_process'
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

import { guarded } from '../../src/qemu/launch.ts'

const here = fileURLToPath(new URL('.', import.meta.url))
const repository = fileURLToPath(new URL('../../../..', import.meta.url))

/** What is in the JSON reporter's file, as far as the tests look at it. */
export interface Report {
  testResults: {
    name: string
    status: string
    message: string
    /** When its first test began, in milliseconds since 1970. */
    startTime: number
    assertionResults: {
      fullName: string
      status: string
      duration?: number
      failureMessages: string[]
    }[]
  }[]
}

/** A copy of a fixture. */
export class Fixture implements Disposable {
  /** Its folder. */
  readonly folder: string

  /**
   * @param name - folder in `fixtures`
   * @param poolOptions - options of `guestPool`, as source text
   * @param testOptions - more of vitest's `test` options, as source text
   */
  constructor(name: string, poolOptions: string = "backend: 'namespace'", testOptions: string = '') {
    this.folder = mkdtempSync(join(tmpdir(), 'solo-vitest-'))
    cpSync(join(here, 'fixtures', name), this.folder, { recursive: true })
    symlinkSync(join(repository, 'node_modules'), join(this.folder, 'node_modules'))
    const vm = join(repository, 'packages/vm')
    writeFileSync(
      join(this.folder, 'vitest.config.mts'),
      `import { defineConfig } from 'vitest/config'
import { guestPool } from '${vm}/src/vitest.ts'

export default defineConfig({
  resolve: { alias: [{ find: /^@pkg\\/(\\w+)\\/(.+)$/, replacement: '${repository}packages/$1/src/$2.ts' }] },
  test: {
    pool: guestPool({ ${poolOptions} }),
    include: ['*.fixture.ts'],
    // Beside the link to the repository's node_modules, not in it: other vitests clear that.
    fsModuleCachePath: '${this.folder}/cache',
    ${testOptions}
  },
})
`,
    )
  }

  path(name: string): string {
    return join(this.folder, name)
  }

  read(name: string): string {
    return readFileSync(this.path(name), 'utf8')
  }

  /** Starts vitest with these arguments; colours are off. */
  start(...args: string[]): ChildProcess {
    const { VITEST: _1, VITEST_MODE: _2, NODE_ENV: _3, ...env } = process.env
    // Bun itself loads the configuration: Vite would bundle it, and find builds of our packages instead of the sources.
    const program = [join(repository, 'node_modules/vitest/vitest.mjs'), '--configLoader=native']
    // One that watches would go on for ever when these tests are killed.
    const command = guarded(process.execPath, [...program, ...args])
    return spawn(command.file, command.args, {
      cwd: this.folder,
      // Whatever it leaves behind when it is killed goes away with the fixture.
      env: { ...env, NO_COLOR: '1', CI: '1', TMPDIR: this.folder },
      stdio: ['pipe', 'pipe', 'pipe'],
    })
  }

  /** Runs all of it: what was printed, how it ended, and what the JSON reporter says. */
  async run(...args: string[]): Promise<{ code: number | null; output: string; report: Report }> {
    const json = this.path('report.json')
    const child = this.start('run', '--reporter=default', '--reporter=json', `--outputFile=${json}`, ...args)
    let output = ''
    child.stdout?.on('data', (chunk) => (output += String(chunk)))
    child.stderr?.on('data', (chunk) => (output += String(chunk)))
    const code = await new Promise<number | null>((resolve) => child.on('close', resolve))
    try {
      return { code, output, report: JSON.parse(readFileSync(json, 'utf8')) as Report }
    } catch {
      throw new Error(`vitest left no report:\n${output}`)
    }
  }

  [Symbol.dispose](): void {
    rmSync(this.folder, { recursive: true, force: true })
  }
}

/** A process and all that it has started, and those. */
export function descendants(pid: number): number[] {
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ').filter(Boolean)
  return [pid, ...children.flatMap((child) => descendants(Number(child)))]
}

/** Whether a process runs: one that nobody has asked for its status yet does not. */
export function isAlive(pid: number): boolean {
  try {
    return !/^State:\tZ/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'))
  } catch {
    return false
  }
}

/** `full name: status` of every test, sorted. */
export function statuses(report: Report): string[] {
  return report.testResults
    .flatMap((file) => file.assertionResults.map(({ fullName, status }) => `${fullName}: ${status}`))
    .toSorted()
}
