/** Checks what the caller gave to `startUml`, and finds the kernel and its modules, before anything is started. */
import { execFile } from 'node:child_process'
import { existsSync, statSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { promisify } from 'node:util'
import { VmError } from '../errors.ts'
import { plan as planNamespace } from '../namespace/options.ts'
import { findProgram } from '../host/find-program.ts'
import { UmlMissingError } from './errors.ts'
import type { InitOptions } from './init-program.ts'
import type { UmlDisk, UmlOptions } from './types.ts'

/** What is the same in each of a guest's lives. */
export interface UmlPlan {
  uml: string
  init: InitOptions
  disks: readonly UmlDisk[]
  memoryMiB: number
  append: string
  raid6: boolean
  control: boolean
}

/** The major number of ubd has that many disks (arch/um/drivers/ubd_kern.c, MAX_DEV is 16; a letter each). */
const DISKS_MAX = 8

/**
 * Checks the options and finds the kernel.
 *
 * @throws TypeError, RangeError a value that can never work; {@link VmError} a file that is not there
 * @throws {@link UmlMissingError}
 */
export async function planUml(options: UmlOptions): Promise<UmlPlan> {
  const { disks = [], memoryMiB = 512, append = '', raid6 = false } = options
  const { folder, program, args, env, shares, hostRoot, control } = planNamespace(options)
  // The first number is what Debian's kernel needs to reach init.
  if (!Number.isInteger(memoryMiB) || memoryMiB < 32 || memoryMiB > 1 << 20)
    throw new RangeError(`memoryMiB: ${memoryMiB} is not a whole number from 32 to ${1 << 20}`)
  if (/[\0\n]/.test(append)) throw new TypeError('append: has a NUL character or a line end')
  if (disks.length > DISKS_MAX) throw new RangeError(`disks: User Mode Linux has ${DISKS_MAX} at most`)
  for (const [index, disk] of disks.entries()) checkDisk(`disks[${index}]`, disk)
  const { uml, modules } = await findUml(options.uml ?? 'linux.uml', options.modules)
  const place = `/lib/modules/${modules.slice(modules.lastIndexOf('/') + 1)}`
  const guest = existsSync(join(folder, place)) ? undefined : place
  const init = { folder, program, args, env, shares, hostRoot, modules: { host: modules, guest } }
  return { uml, init, disks, memoryMiB, append, raid6, control }
}

/**
 * Paths of the kernel and of its modules.
 *
 * @throws {@link UmlMissingError}
 */
export async function findUml(
  name: string,
  modules: string | undefined,
): Promise<{ uml: string; modules: string }> {
  const uml = findProgram(name)
  if (uml === undefined || process.arch !== 'x64') throw new UmlMissingError(`${name} was not found in PATH`)
  return { uml: resolve(uml), modules: resolve(modules ?? (await debianModules(uml))) }
}

async function debianModules(uml: string): Promise<string> {
  // `--version` prints the release and ends.
  const { stdout } = await promisify(execFile)(uml, ['--version'])
  const folder = join('/usr/lib/uml/modules', stdout.trim())
  if (!existsSync(folder)) throw new UmlMissingError(`the modules of ${uml} are not at ${folder}`)
  return folder
}

function checkDisk(option: string, { file, sizeBytes }: UmlDisk): void {
  if (file !== undefined) {
    const status = statSync(file, { throwIfNoEntry: false })
    if (!status) throw new VmError(`${option}.file: ${file} is not there`)
    if (sizeBytes !== undefined)
      throw new TypeError(`${option}: a file has its size; give sizeBytes only without`)
  } else if (sizeBytes === undefined || !Number.isSafeInteger(sizeBytes) || sizeBytes < 512)
    throw new RangeError(`${option}.sizeBytes: ${sizeBytes} is not a whole number of bytes from 512 on`)
}
