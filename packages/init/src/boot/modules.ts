/** Kernel modules: those of the plan, then those that the devices ask for, now and whenever one appears. */
import { AT_FDCWD, MODULE_INIT_COMPRESSED_FILE, O_RDONLY } from '@pkg/sys/constants'
import { isSysError } from '@pkg/sys/errno'
import { openat } from '@pkg/sys/fs'
import { finit_module } from '@pkg/sys/module'
import { uname } from '@pkg/sys/system'
import { namesIn } from '../shell/folder.ts'
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

/**
 * The modaliases of all devices that the kernel knows, each once: from the flat lists by bus, since a walk through
 * the tree of /sys/devices opens ten times as many folders. Of what is on no bus only three kinds have one: input
 * devices, the firmware's description (drivers/firmware/dmi-id.c) and the processors (drivers/base/cpu.c).
 */
export function deviceModaliases(): ReadonlySet<string> {
  const lists = namesIn('/sys/bus').map((bus) => `/sys/bus/${bus}/devices`)
  const found = new Set<string>()
  for (const list of [...lists, '/sys/class/input', '/sys/class/dmi', '/sys/devices/system']) {
    for (const device of namesIn(list)) {
      const modalias = readModalias(`${list}/${device}/modalias`)
      if (modalias !== '') found.add(modalias)
    }
  }
  return found
}

/** Most devices have none, and devices come and go while one looks. */
function readModalias(path: string): string {
  try {
    return readText(path).trim()
  } catch (error) {
    if (isSysError(error)) return ''
    throw error
  }
}
