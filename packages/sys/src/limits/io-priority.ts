// A disk priority as the kernel's number.
import { IOPRIO_CLASS_SHIFT } from '../generated/constants/process.ts'
import type { IoPriority } from '../limits.ts'
import { u32 } from '../raw/arguments.ts'

/**
 * The number of a disk priority.
 *
 * @throws RangeError for a level that there is not
 */
export function ioPriorityNumber({ class: kind, level }: IoPriority): number {
  if (!Number.isInteger(level) || level < 0 || level > 7) throw new RangeError(`level: ${level}`)
  return (u32(kind, 'class') << IOPRIO_CLASS_SHIFT) | level
}
