/**
 * Limits of a service as settings of its control group.
 *
 * @see https://docs.kernel.org/admin-guide/cgroup-v2.html
 */
import { isSysError } from '@pkg/sys/errno'
import type { ServicePlan } from '../plan.ts'
import { readText, writeText } from './text-file.ts'

const mebibyte = 1024 * 1024

/**
 * Sets the limits of a service's group.
 *
 * @returns the settings that this kernel does not have; a service is rather run without them than not at all
 */
export function limitGroup(group: string, { limits }: Pick<ServicePlan, 'limits'>): string[] {
  const missing: string[] = []
  const set = (file: string, value: string): void => {
    try {
      writeText(`${group}/${file}`, value)
    } catch (error) {
      if (!isSysError(error)) throw error
      missing.push(`${file} (${error.code})`)
    }
  }
  if (limits.memoryMaxMiB !== null) {
    set('memory.max', String(limits.memoryMaxMiB * mebibyte))
    // All of it or nothing: half a service would be neither well nor ended.
    set('memory.oom.group', '1')
  }
  if (limits.tasksMax !== null) set('pids.max', String(limits.tasksMax))
  return missing
}

/** What a group has met of its limits, in words, before it is removed. */
export function metLimits(group: string, { limits }: Pick<ServicePlan, 'limits'>): string[] {
  const met: string[] = []
  if (limits.memoryMaxMiB !== null && countOf(`${group}/memory.events`, 'oom_kill') > 0)
    met.push(`killed: it needed more memory than its limit of ${limits.memoryMaxMiB} MiB`)
  const refused = limits.tasksMax === null ? 0 : countOf(`${group}/pids.events`, 'max')
  if (refused > 0) met.push(`${refused} tasks were not started: its limit is ${limits.tasksMax}`)
  return met
}

/** A number of a file of lines `name number`; 0 where there is none. */
function countOf(file: string, name: string): number {
  try {
    return Number(new RegExp(`^${name} (\\d+)$`, 'm').exec(readText(file))?.[1] ?? 0)
  } catch (error) {
    if (isSysError(error)) return 0
    throw error
  }
}
