// TypeScript to one file that Bun runs in the guest. Nothing of the host gets into it: no environment, no
// time, and no path, so that the same sources give the same bytes in every folder.
import { existsSync } from 'node:fs'
import { dirname, isAbsolute, resolve } from 'node:path'
import { displayPath } from '@pkg/vm/host'
import { ownPackages } from '../config/own-packages.ts'
import { SoloError } from '../error.ts'
import type { Component } from '../sbom/component.ts'
import { npmPackages } from '../sbom/npm-packages.ts'

/** A program and everything that it imports. */
export interface Bundle {
  /** Files by name; `index.js` is the one to run. */
  readonly files: ReadonlyMap<string, Uint8Array>
  /** Paths of the files that it was made from, sorted. */
  readonly inputs: readonly string[]
  /** The npm package that it is part of, if it is of one. */
  readonly own: readonly Component[]
  /** The npm packages that went into it besides. */
  readonly packages: readonly Component[]
}

/** How a program is bundled. */
export interface BundleOptions {
  /**
   * Adds `index.js.jsc`, which spares Bun the parsing: PID 1 then has its lease in half the time. Only for a program
   * without `await` at its top level, since such bytecode goes with CommonJS.
   */
  readonly bytecode?: boolean
}

/**
 * Bundles a program with everything that it imports.
 *
 * @param entry - absolute path of the first file
 * @param what - how the program is called in an error, such as `services[0].entry`
 * @throws SoloError with exit status 2 with the file and line of each mistake
 */
export async function bundle(entry: string, what: string, options: BundleOptions = {}): Promise<Bundle> {
  const { bytecode = false } = options
  const result = await Bun.build({
    entrypoints: [entry],
    root: dirname(entry),
    target: 'bun',
    format: bytecode ? 'cjs' : 'esm',
    bytecode,
    // Names of functions and classes stay: they are what a stack trace in the guest's log has.
    minify: { whitespace: true, syntax: true, identifiers: true, keepNames: true },
    sourcemap: 'none',
    metafile: true,
    env: 'disable',
    define: { 'process.env.NODE_ENV': '"production"' },
    naming: { entry: 'index.[ext]', chunk: '[name]-[hash].[ext]', asset: '[name]-[hash].[ext]' },
    plugins: [ownPackages],
    throw: false,
  }).catch((error: unknown) => {
    throw new SoloError(`${what}: ${error instanceof Error ? error.message : String(error)}`, {
      exitStatus: 2,
    })
  })
  if (!result.success) throw new SoloError(describeLogs(result.logs, what), { exitStatus: 2 })
  const files = new Map<string, Uint8Array>()
  for (const output of result.outputs) {
    const name = output.path.replace(/^\.?\//, '')
    const isCode = output.kind === 'entry-point' || output.kind === 'chunk'
    const bytes = isCode
      ? encoder.encode(withoutHostPaths(await output.text()))
      : new Uint8Array(await output.arrayBuffer())
    files.set(name, bytes)
  }
  if (!files.has('index.js'))
    throw new SoloError(`${what}: expected a TypeScript or JavaScript file, got ${entry}`)
  // Bun names them relative to the working directory.
  const inputs = Object.keys(result.metafile?.inputs ?? {}).map((path) => resolve(path))
  return { files, inputs: inputs.toSorted(), ...(await npmPackages(inputs, entry)) }
}

const encoder = new TextEncoder()

/**
 * The bundler writes the host's folder into CommonJS modules that use `__dirname`; in the guest the folder of
 * the bundle is what they can mean.
 */
function withoutHostPaths(code: string): string {
  return code.replaceAll(/\b(__dirname|__filename)="([^"\\]*)"/g, (found, name: string, path: string) => {
    if (!isAbsolute(path) || !existsSync(path)) return found
    return `${name}=import.meta.${name === '__dirname' ? 'dir' : 'path'}`
  })
}

function describeLogs(logs: readonly (BuildMessage | ResolveMessage)[], what: string): string {
  const lines = logs
    .filter(({ level }) => level === 'error')
    .map(({ message, position }) => {
      const place = position === null ? '' : `${displayPath(position.file)}:${position.line}: `
      return `${what}: ${place}${message}`
    })
  return [...new Set(lines)].join('\n') || `${what}: it cannot be bundled`
}
