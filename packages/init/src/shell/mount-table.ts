/** What is mounted where, from the kernel's own table. */
import { readText } from './text-file.ts'

/** One mount of this namespace. */
export interface MountEntry {
  /** Its mount point. */
  readonly target: string
  /** Its file system. */
  readonly type: string
}

/** The mounts, in the order in which they were made. @see proc_pid_mountinfo(5) */
export function mountTable(): MountEntry[] {
  const lines = readText('/proc/self/mountinfo').split('\n')
  return lines.flatMap((line) => {
    // id parent major:minor root TARGET options [optional …] - TYPE source super-options
    const [front = '', back = ''] = line.split(' - ')
    const target = front.split(' ')[4]
    const [type] = back.split(' ')
    return target === undefined || type === undefined ? [] : [{ target: unescapeOctal(target), type }]
  })
}

/** All mount points. */
export function mountedPaths(): ReadonlySet<string> {
  return new Set(mountTable().map(({ target }) => target))
}

/** The kernel writes blanks and backslashes as `\040` and the like. */
function unescapeOctal(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)))
}
