/**
 * The examples in READMEs and docstrings are programs: each is cut out into a file of its own, type-checked,
 * and run under Bun in an empty folder. A block opened as "ts no-run" is type-checked only.
 */
import { spawn } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Source, Violation } from './sources.ts'

/** One example, where it stands and what it says. */
export interface Example {
  /** The file that it was cut out of. */
  path: string
  /** The line of its first statement there, from 1. */
  line: number
  /** The program. */
  code: string
  /** False for "ts no-run". */
  runs: boolean
}

const timeoutMs = 180_000

/** The ```ts blocks of a Markdown file, or of the docstrings of a TypeScript file. */
export function examplesOf(source: Source): Example[] {
  const isDocstring = source.path.endsWith('.ts')
  const examples: Example[] = []
  let open: Example | undefined
  for (const [index, whole] of source.text.split('\n').entries()) {
    const inside = !isDocstring || /^\s*\*/.test(whole)
    const line = isDocstring ? whole.replace(/^\s*\* ?/, '') : whole
    const fence = inside ? /^\s*```\s*(.*?)\s*$/.exec(line) : null
    if (open !== undefined && fence !== null) {
      examples.push(open)
      open = undefined
    } else if (open !== undefined) {
      open.code += `${line}\n`
    } else if (fence?.[1] === 'ts' || fence?.[1] === 'ts no-run') {
      open = { path: source.path, line: index + 2, code: '', runs: fence[1] === 'ts' }
    }
  }
  return examples
}

/** All examples that the repository's readers may copy. */
export function allExamples(sources: Source[]): Example[] {
  return sources
    .filter(({ path }) => /^(README\.md|packages\/[^/]+\/(README\.md|src\/.*\.ts)|docs\/.*\.md)$/.test(path))
    .flatMap((source) => examplesOf(source))
}

/**
 * Type-checks examples together and runs each that runs, two at a time.
 *
 * @param root - the repository's folder
 * @param folder - where the cut-out files go, below `root`, so that its tsconfig's `paths` hold for them
 * @param examples - see {@link allExamples}
 */
export async function checkExamples(root: string, folder: string, examples: Example[]): Promise<Violation[]> {
  rmSync(folder, { recursive: true, force: true })
  mkdirSync(folder, { recursive: true })
  const files = examples.map((example) => {
    const name = `${example.path.replaceAll(/[^\w.-]/g, '--').replace(/\.\w+$/, '')}--${example.line}.ts`
    writeFileSync(join(folder, name), `${example.code}\nexport {}\n`)
    return { example, name }
  })
  const violations = await typecheck(root, folder, files)
  const waiting = files.filter(({ example }) => example.runs)
  const work = async (): Promise<void> => {
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
      const message = await run(join(folder, next.name))
      if (message !== undefined) {
        violations.push({
          path: next.example.path,
          line: next.example.line,
          message: `example fails: ${message}`,
        })
      }
    }
  }
  await Promise.all([work(), work()])
  return violations
}

async function typecheck(
  root: string,
  folder: string,
  files: { example: Example; name: string }[],
): Promise<Violation[]> {
  const options = {
    isolatedDeclarations: false,
    declaration: false,
    noUnusedLocals: false,
    moduleDetection: 'force',
  }
  const config = { extends: join(root, 'tsconfig.base.json'), compilerOptions: options, include: ['*.ts'] }
  writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify(config))
  const compiler = join(root, 'node_modules/typescript-native/bin/tsc')
  const { status, output } = await collect(['--bun', compiler, '--pretty', 'false', '-p', folder], root)
  if (status === 0) return []
  const violations: Violation[] = []
  for (const [, name, line, message] of output.matchAll(/([^\s/]+\.ts)\((\d+),\d+\): (error .*)/g)) {
    const example = files.find((file) => file.name === name)?.example
    if (example === undefined) continue
    violations.push({
      path: example.path,
      line: example.line + Number(line) - 1,
      message: `example: ${message}`,
    })
  }
  // Errors elsewhere are in the sources that examples import: the type check names them all.
  if (violations.length > 0) return violations
  return [{ path: 'examples', line: 0, message: `do not compile: ${output.split('\n', 1)[0]}` }]
}

async function run(file: string): Promise<string | undefined> {
  const work = mkdtempSync(join(tmpdir(), 'solo-example-'))
  try {
    const { status, output } = await collect([file], work)
    return status === 0
      ? undefined
      : `${status === null ? 'time-out' : `exit status ${status}`}: ${output.trim()}`
  } finally {
    rmSync(work, { recursive: true, force: true })
  }
}

/** Runs Bun; the status is null when it was killed. */
function collect(parameters: string[], cwd: string): Promise<{ status: number | null; output: string }> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, parameters, { cwd, stdio: ['ignore', 'pipe', 'pipe'] })
    let output = ''
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8')
      stream.on('data', (text: string) => (output += text))
    }
    const timer = setTimeout(() => child.kill('SIGKILL'), timeoutMs)
    child.once('error', reject)
    child.once('close', (status) => {
      clearTimeout(timer)
      resolve({ status, output })
    })
  })
}
