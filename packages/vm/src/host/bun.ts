// A Bun on this machine, for what only Bun can do: bundle the guest's program, and unpack a package of npm.
import { access, constants } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { delimiter, join } from 'node:path'
import { ProvisionError } from './error.ts'

/**
 * The path of a Bun: the one that runs this, else `BUN` of the environment, else the npm package `bun` beside us or in
 * the current folder, else the first in PATH.
 *
 * @throws ProvisionError when there is none, or when `BUN` names no program
 */
export async function findBun(environment: NodeJS.ProcessEnv = process.env): Promise<string> {
  if (process.versions.bun !== undefined) return process.execPath
  const chosen = environment['BUN']
  if (chosen !== undefined && chosen !== '') {
    if (await isProgram(chosen)) return chosen
    throw new ProvisionError(`BUN: expected the path of a program, got ${chosen}`)
  }
  const folders = (environment['PATH'] ?? '').split(delimiter).filter((folder) => folder.startsWith('/'))
  for (const path of [...installedBuns(), ...folders.map((folder) => join(folder, 'bun'))]) {
    if (await isProgram(path)) return path
  }
  throw new ProvisionError(
    'Bun is not installed: guests run their TypeScript with it. npm install --save-dev bun, or set BUN to its path',
  )
}

function installedBuns(): string[] {
  return [import.meta.url, join(process.cwd(), 'package.json')].flatMap((from) => {
    try {
      const manifest = createRequire(from).resolve('bun/package.json')
      return [join(manifest, '..', 'bin', 'bun.exe'), join(manifest, '..', 'bin', 'bun')]
    } catch {
      return []
    }
  })
}

async function isProgram(path: string): Promise<boolean> {
  return await access(path, constants.X_OK).then(
    () => true,
    () => false,
  )
}
