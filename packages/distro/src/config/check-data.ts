// What the schema cannot see of `data` and `beforeUpdate` of the services.
import { expectPath } from './expect-path.ts'
import { shown } from './expect.ts'

type Loose = Readonly<Record<string, unknown>>
type Report = (path: string, message: string) => void

/** Checks versions, folders and hooks. */
export function checkData(config: Loose, services: readonly Loose[], folder: string, report: Report): void {
  const made = array(config['folders']).flatMap((each) => (isObject(each) ? [each['path']] : []))
  const seen = new Map<string, string>()
  for (const [index, { data, beforeUpdate }] of services.entries()) {
    if (isObject(beforeUpdate)) checkHook(beforeUpdate, `services[${index}].beforeUpdate`, folder, report)
    if (!isObject(data)) continue
    const at = `services[${index}].data`
    const { version, readableBy, migrate } = data
    if (typeof version === 'number' && typeof readableBy === 'number' && readableBy > version)
      report(`${at}.readableBy`, `expected at most version (${version}), got ${readableBy}`)
    const folders = array(data['folders'])
    if (Array.isArray(data['folders']) && folders.length === 0)
      report(`${at}.folders`, 'expected at least one folder, got none')
    for (const [place, each] of folders.entries()) {
      if (typeof each === 'string') checkFolder(each, `${at}.folders[${place}]`, { made, seen }, report)
    }
    if (isObject(migrate)) checkHook(migrate, `${at}.migrate`, folder, report)
  }
}

interface Folders {
  /** The paths of `folders`. */
  readonly made: readonly unknown[]
  /** Folders of data so far, and where they are said. */
  readonly seen: Map<string, string>
}

function checkFolder(folder: string, path: string, { made, seen }: Folders, report: Report): void {
  const other = [...seen.keys()].find((each) => isWithin(each, folder) || isWithin(folder, each))
  if (folder.split('/').some((part, index) => ['.', '..'].includes(part) || (part === '' && index > 0)))
    report(path, `expected a path without //, . and .., got ${shown(folder)}`)
  else if (folder === '/var/lib' || isWithin(folder, '/var/lib/solo'))
    report(path, `expected a folder that is not Solo's own, got ${shown(folder)}`)
  else if (!made.some((each) => typeof each === 'string' && isWithin(folder, each)))
    report(path, `expected one of folders, or one below, got ${shown(folder)}`)
  else if (other !== undefined)
    report(path, `expected a folder apart from ${seen.get(other)}, got ${shown(folder)}`)
  seen.set(folder, path)
}

function isWithin(folder: string, other: string): boolean {
  return `${folder}/`.startsWith(`${other}/`)
}

function checkHook({ entry, command }: Loose, at: string, folder: string, report: Report): void {
  if ((entry === undefined) === (command === undefined))
    report(at, `expected one of entry and command, got ${entry === undefined ? 'neither' : 'both'}`)
  if (typeof entry === 'string') expectPath(folder, entry, 'file', `${at}.entry`, report)
  const program: unknown = array(command)[0]
  if (Array.isArray(command) && !(typeof program === 'string' && program.startsWith('/')))
    report(`${at}.command[0]`, `expected the absolute path of a program in the image, got ${shown(program)}`)
}

function array(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : []
}

function isObject(value: unknown): value is Loose {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
