/**
 * The `.d.ts` files of a package, made from its own sources alone: with `isolatedDeclarations` every export
 * states its type, so nothing has to be inferred from another file. Types are checked by tsc.
 *
 * tsup's own declarations (rollup-plugin-dts) refuse types that two entries share and none exports, and
 * `ts.transpileDeclaration` doubles members named `[Symbol.dispose]` (TypeScript 6.0.3), for it knows no lib.
 */
import { globSync, mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'
import ts from 'typescript'

const compilerOptions: ts.CompilerOptions = {
  target: ts.ScriptTarget.ES2024,
  lib: ['lib.es2024.d.ts', 'lib.esnext.disposable.d.ts'],
  module: ts.ModuleKind.ESNext,
  moduleResolution: ts.ModuleResolutionKind.Bundler,
  strict: true,
  verbatimModuleSyntax: true,
  isolatedDeclarations: true,
  declaration: true,
  emitDeclarationOnly: true,
  // Each file by itself: imports are neither followed nor checked.
  noResolve: true,
  noCheck: true,
  types: [],
}

/**
 * The declarations of all files below a folder, by their path relative to it.
 *
 * @param source - a package's `src`
 * @throws Error with the compiler's words when the type of an export would have to be inferred
 */
export function declarationsOf(source: string): Map<string, string> {
  const files = globSync('**/*.ts', { cwd: source }).map((name) => resolve(source, name))
  const options = { ...compilerOptions, rootDir: resolve(source), outDir: resolve(source) }
  const declarations = new Map<string, string>()
  const program = ts.createProgram(files, options)
  const { diagnostics } = program.emit(undefined, (path, text) => {
    // Beside the declarations of `./fd.ts` lies the module `./fd.js`.
    const pointed = text.replaceAll(
      /(\b(?:from|import)\s*\(?\s*["'])(\.{1,2}\/[^"']+)\.ts(["'])/g,
      '$1$2.js$3',
    )
    declarations.set(relative(resolve(source), path), pointed)
  })
  const [problem] = diagnostics
  if (problem !== undefined) {
    const place = problem.file === undefined ? source : relative(process.cwd(), problem.file.fileName)
    throw new Error(`${place}: ${ts.flattenDiagnosticMessageText(problem.messageText, '\n')}`)
  }
  return declarations
}

/**
 * Writes the declarations of all files below `source` to the same places below `target`, and only those.
 *
 * @param source - a package's `src`
 * @param target - its `dist`
 */
export function writeDeclarations(source: string, target: string): void {
  for (const name of globSync('**/*.d.ts', { cwd: target })) rmSync(join(target, name))
  for (const [name, text] of declarationsOf(source)) {
    const path = join(target, name)
    mkdirSync(dirname(path), { recursive: true })
    writeFileSync(path, text)
  }
}
