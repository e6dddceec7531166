/** Kernel modules: those of the plan, then those that the devices ask for, now and whenever one appears. */
import {
  AT_FDCWD,
  DT_DIR,
  MODULE_INIT_COMPRESSED_FILE,
  O_DIRECTORY,
  O_NOFOLLOW,
  O_RDONLY,
} from '@pkg/sys/constants'
import { isSysError } from '@pkg/sys/errno'
import { getdents64, openat } from '@pkg/sys/fs'
import { finit_module } from '@pkg/sys/module'
import { uname } from '@pkg/sys/system'
import { readText } from '../shell/text-file.ts'
import { moduleFinder, type ModuleFinder, type ModuleIndex } from './module-index.ts'

/** Loads modules, each once. */
export interface ModuleLoader {
  /** Loads a module and what it needs; returns the names of those that are new. */
  load(name: string): string[]
  /** Loads what a device asks for. */
  loadForDevice(modalias: string): string[]
  /** What was refused since the last call, in words. */
  takeFailures(): string[]
}

/**
 * Reads the index of the running kernel's modules; null when the image has none (all is built in).
 *
 * @throws SyntaxError the index is damaged
 */
export function openModules(): ModuleLoader | null {
  const { release } = uname()
  try {
    const text = readText(`/lib/modules/${release}/solo-modules.json`)
    return moduleLoader(moduleFinder(JSON.parse(text) as ModuleIndex))
  } catch (error) {
    if (isSysError(error, 'ENOENT')) return null
    throw error
  }
}

function moduleLoader(finder: ModuleFinder): ModuleLoader {
  // A module that was refused is not tried again for every device.
  const tried = new Set<string>()
  let failures: string[] = []

  function loadOne(name: string): boolean {
    const path = finder.pathOf(name)
    if (path === undefined || tried.has(name)) return false
    tried.add(name)
    try {
      using file = openat(AT_FDCWD, path, O_RDONLY)
      finit_module(file, '', path.endsWith('.ko') ? 0 : MODULE_INIT_COMPRESSED_FILE)
      return true
    } catch (error) {
      if (isSysError(error, 'EEXIST')) return false
      failures.push(`module ${name}: ${error instanceof Error ? error.message : String(error)}`)
      return false
    }
  }

  function load(name: string): string[] {
    if (finder.isBuiltin(name)) return []
    const order = finder.loadOrder(name)
    if (order.length === 0) failures.push(`module ${name}: not in the image`)
    return order.filter(loadOne)
  }

  return {
    load,
    loadForDevice: (modalias) => finder.forModalias(modalias).flatMap(load),
    takeFailures() {
      const taken = failures
      failures = []
      return taken
    },
  }
}

/** The modaliases of all devices that the kernel knows. */
export function* deviceModaliases(folder = '/sys/devices'): Generator<string, void, void> {
  const below: string[] = []
  try {
    using opened = openat(AT_FDCWD, folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW)
    for (const { d_name, d_type } of getdents64(opened)) {
      if (d_type === DT_DIR) below.push(d_name)
      else if (d_name === 'modalias') yield readText(`${folder}/modalias`).trim()
    }
  } catch (error) {
    // Devices come and go while one looks.
    if (!isSysError(error)) throw error
  }
  for (const name of below) yield* deviceModaliases(`${folder}/${name}`)
}

/** Loads the modules of all devices, until loading brings no new device: a bus driver finds what is on it. */
export function loadForAllDevices(loader: ModuleLoader): string[] {
  const seen = new Set<string>()
  const loaded: string[] = []
  for (let more = true; more;) {
    more = false
    for (const modalias of deviceModaliases()) {
      if (modalias === '' || seen.has(modalias)) continue
      seen.add(modalias)
      const added = loader.loadForDevice(modalias)
      loaded.push(...added)
      more ||= added.length > 0
    }
  }
  return loaded
}
