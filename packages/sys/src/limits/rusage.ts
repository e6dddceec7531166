// What processes have used, as getrusage(2) and wait4(2) tell it.
import type { rusage } from '../generated/structs/process.ts'
import type { StructView } from '../struct.ts'

/** What was used: `struct rusage`. */
export interface Rusage {
  /** Time in programs, microseconds. */
  userUs: number
  /** Time in the kernel, microseconds. */
  systemUs: number
  /** Most memory resident at once, kibibytes. */
  ru_maxrss: number
  /** Page faults without and with I/O. */
  ru_minflt: number
  ru_majflt: number
  /** Blocks read and written. */
  ru_inblock: number
  ru_oublock: number
  /** Switches because it waited, and because its time was up. */
  ru_nvcsw: number
  ru_nivcsw: number
}

/** The fields of a filled `struct rusage`. */
export function decodeRusage(struct: StructView<typeof rusage>): Rusage {
  const count = (field: 'ru_maxrss' | 'ru_minflt' | 'ru_majflt' | 'ru_inblock' | 'ru_oublock'): number =>
    Number(struct.get(field))
  const us = (name: 'ru_utime' | 'ru_stime'): number =>
    Number(struct.get(`${name}.tv_sec`)) * 1_000_000 + Number(struct.get(`${name}.tv_usec`))
  return {
    userUs: us('ru_utime'),
    systemUs: us('ru_stime'),
    ru_maxrss: count('ru_maxrss'),
    ru_minflt: count('ru_minflt'),
    ru_majflt: count('ru_majflt'),
    ru_inblock: count('ru_inblock'),
    ru_oublock: count('ru_oublock'),
    ru_nvcsw: Number(struct.get('ru_nvcsw')),
    ru_nivcsw: Number(struct.get('ru_nivcsw')),
  }
}
