// A disk priority as the kernel's number.
import { IOPRIO_CLASS_SHIFT } from '../generated/constants/process.ts'
import type { IoPriority } from '../limits.ts'

/**
 * The number of a disk priority.
 *
 * @throws RangeError for a class or a level that there is not
 */
export function ioPriorityNumber({ class: kind, level }: IoPriority): number {
  if (!Number.isInteger(level) || level < 0 || level > 7) throw new RangeError(`level: ${String(level)}`)
  if (!Number.isInteger(kind) || kind < 0 || kind > 7) throw new RangeError(`class: ${String(kind)}`)
  return (kind << IOPRIO_CLASS_SHIFT) | level
}
