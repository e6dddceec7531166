// Files that a configuration names must be there when it is read.
import { statSync } from 'node:fs'
import { resolve } from 'node:path'
import { shown } from './expect.ts'

/** Reports a path, relative to the configuration's folder, that is not what it has to be. */
export function expectPath(
  folder: string,
  path: string,
  kind: 'file' | 'folder' | 'file or folder',
  key: string,
  report: (path: string, message: string) => void,
): void {
  const info = statSync(resolve(folder, path), { throwIfNoEntry: false })
  const found = info?.isFile() === true ? 'file' : info?.isDirectory() === true ? 'folder' : undefined
  if (found !== undefined && kind.split(' or ').includes(found)) return
  const got =
    info === undefined
      ? 'which does not exist'
      : found === undefined
        ? 'a special file'
        : `which is a ${found}`
  report(key, `expected a ${kind}, got ${shown(path)}, ${got}`)
}
