/** What a service may take of the machine. */
import { below, readInteger, readObject, type Problems } from './read.ts'

/** Limits that the kernel holds, for all that a service starts together. */
export interface LimitsPlan {
  /**
   * Memory, with what is cached for it, in MiB. Who needs more is killed with all that the service runs, and started
   * again. null, the default, for no limit.
   */
  readonly memoryMaxMiB: number | null
  /** Processes and threads; no more are started. null, the default, for no limit. */
  readonly tasksMax: number | null
}

/** A tebibyte in MiB: what is more is a slip too, and bytes of it are far from where numbers get inexact. */
const MEMORY_MOST_MIB = 1_048_576
/** PID_MAX_LIMIT of linux/threads.h. */
const TASKS_MOST = 4_194_304

/** Reads `limits`. */
export function readLimits(problems: Problems, path: string, value: unknown): LimitsPlan {
  const limits = readObject(problems, path, value, ['memoryMaxMiB', 'tasksMax'])
  const read = (key: keyof LimitsPlan, least: number, most: number): number | null => {
    const limit = limits[key] ?? null
    return limit === null ? null : readInteger(problems, below(path, key), limit, least, most)
  }
  return {
    memoryMaxMiB: read('memoryMaxMiB', 1, MEMORY_MOST_MIB),
    tasksMax: read('tasksMax', 1, TASKS_MOST),
  }
}
