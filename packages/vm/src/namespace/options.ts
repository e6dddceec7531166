/** Checks what the caller gave to `startNamespace`, and fills in the defaults, before anything is started. */
import { readdirSync, statSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { VmError } from '../errors.ts'
import { GUEST_ENVIRONMENT } from '../guest-image/environment.ts'
import type { ResolvedShare, SetupOptions } from './setup.ts'
import type { NamespaceOptions, Share } from './types.ts'

/** What is the same in each of a guest's lives. */
export type Plan = Omit<SetupOptions, 'workFolder' | 'terminal'>

/**
 * Checks the options and gives them their defaults.
 *
 * @throws TypeError a value that can never work; {@link VmError} a file that is not there
 */
export function plan(options: NamespaceOptions): Plan {
  const { program, args = [], env = GUEST_ENVIRONMENT, hostname = 'guest', shares = [] } = options
  const folder = resolve(text('folder', options.folder))
  if (!text('program', program).startsWith('/')) throw new TypeError(`program: ${program} is not absolute`)
  for (const [index, arg] of args.entries()) text(`args[${index}]`, arg)
  for (const [name, value] of Object.entries(env)) text(`env.${name}`, `${name}${value}`)
  if (kindOf('folder', folder) !== 'folder') throw new VmError(`folder: ${folder} is not a folder`)
  return {
    folder,
    entries: readdirSync(folder).flatMap((name) => entry(folder, name)),
    program,
    args,
    env,
    hostname: text('hostname', hostname),
    shares: shares.map((share, index) => resolveShare(share, `shares[${index}]`)),
    hostRoot: options.hostRoot ?? false,
    control: options.onControl !== undefined,
    hostUserIsRoot: process.geteuid?.() === 0,
  }
}

/**
 * A share with the host's path made absolute.
 *
 * @param option - its name in errors
 * @throws TypeError a path that can never work; {@link VmError} there is no such folder or file
 */
export function resolveShare({ host, guest, writable = false }: Share, option: string): ResolvedShare {
  text(`${option}.guest`, guest)
  const names = guest.split('/').slice(1)
  if (!guest.startsWith('/') || names.every((name) => name === '') || names.includes('..'))
    throw new TypeError(`${option}.guest: ${guest} is not an absolute path below the root`)
  const path = resolve(text(`${option}.host`, host))
  return { host: path, guest, writable, kind: kindOf(`${option}.host`, path) }
}

function entry(folder: string, name: string): { name: string; kind: 'folder' | 'file' }[] {
  const status = statSync(join(folder, name), { throwIfNoEntry: false })
  return status ? [{ name, kind: status.isDirectory() ? 'folder' : 'file' }] : []
}

function kindOf(option: string, path: string): 'folder' | 'file' {
  try {
    return statSync(path).isDirectory() ? 'folder' : 'file'
  } catch (cause) {
    throw new VmError(`${option}: ${(cause as Error).message}`, '', cause)
  }
}

function text(option: string, value: string): string {
  if (typeof value === 'string' && value !== '' && !value.includes('\0')) return value
  throw new TypeError(`${option}: ${JSON.stringify(value)} is empty or has a NUL character`)
}
