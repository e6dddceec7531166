/** Kernel modules that the image wants loaded: `/lib/modules/<release>/solo-modules.json`, key `wanted`. */
import type { ModuleIndex } from '@pkg/image/modules'
import { AT_FDCWD, MODULE_INIT_COMPRESSED_FILE, O_RDONLY } from '@pkg/sys/constants'
import { isSysError } from '@pkg/sys/errno'
import { openat } from '@pkg/sys/fs'
import { finit_module } from '@pkg/sys/module'
import { uname } from '@pkg/sys/system'
import { existsSync, readFileSync } from 'node:fs'
import { canonicalName, loadOrder } from './load-order.ts'

/** The index, with what the image wants loaded. */
interface WantedIndex extends ModuleIndex {
  /** Names, in the order in which they are loaded. */
  readonly wanted?: readonly string[]
}

/** The index of the modules that this image has for the running kernel; undefined when it has none. */
export function moduleIndex(): WantedIndex | undefined {
  return hasOwnKernel() ? (JSON.parse(readFileSync(indexFile(), 'utf8')) as WantedIndex) : undefined
}

/** Whether this image was made for the running kernel: a namespace's was not, whose kernel is the host's. */
export function hasOwnKernel(): boolean {
  return existsSync(indexFile())
}

function indexFile(): string {
  return `/lib/modules/${uname().release}/solo-modules.json`
}

/** Loads what is wanted, with what it needs before it. Blocks while drivers probe. Returns what failed, in words. */
export function loadWantedModules(): string[] {
  const index = moduleIndex()
  return index === undefined ? [] : loadModules(index, index.wanted ?? [])
}

/** Loads modules with what they need before them, `parameters` for the last named. Returns what failed, in words. */
export function loadModules(index: ModuleIndex, names: readonly string[], parameters = ''): string[] {
  const builtin = new Set(index.builtin.map(canonicalName))
  const problems: string[] = []
  const last = canonicalName(names.at(-1) ?? '')
  for (const name of loadOrder(index, names)) {
    if (builtin.has(name)) continue
    const path = index.modules[name]?.path
    if (path === undefined) problems.push(`module ${name}: not in the image`)
    else load(name, path, name === last ? parameters : '', problems)
  }
  return problems
}

function load(name: string, path: string, parameters: string, problems: string[]): void {
  try {
    using file = openat(AT_FDCWD, path, O_RDONLY)
    finit_module(file, parameters, path.endsWith('.ko') ? 0 : MODULE_INIT_COMPRESSED_FILE)
  } catch (error) {
    // ENODEV: a driver for a processor or a device that this machine is without, as modprobe(8) passes over too.
    if (!isSysError(error, 'EEXIST') && !isSysError(error, 'ENODEV'))
      problems.push(`module ${name}: ${String(error)}`)
  }
}
