// What is mounted, from /proc/self/mountinfo, and how full it is, from statfs.
import { statfs } from '@pkg/sys/fs'
import { readText, unlessRefused } from './files.ts'

/** A mount of this process's namespace. */
export interface Mount {
  /** Where it is mounted. */
  target: string
  /** The file system: `tmpfs`. */
  type: string
  /** A device, or whatever word was given. */
  source: string
  /** The mount's own options: `rw,nosuid`. */
  options: string
  /** Null for file systems that hold nothing (proc, sysfs), and for those that are not asked. */
  sizeBytes: number | null
  usedBytes: number | null
}

/** These ask a server, or a program, which may never answer: statfs would wait with it. */
const mayHang = /^(nfs|cifs|smb|9p|ceph|fuse|autofs|afs)/

/**
 * Parses mountinfo; sizes are null.
 *
 * @see https://man7.org/linux/man-pages/man5/proc_pid_mountinfo.5.html
 */
export function parseMountinfo(text: string): Mount[] {
  return text
    .split('\n')
    .filter(Boolean)
    .map((line) => {
      // A variable number of optional fields ends with a lone hyphen.
      const [before = '', after = ''] = line.split(/ - (.*)/, 2)
      const [target, options] = before.split(' ').slice(4)
      const [type, source] = after.split(' ')
      if (target === undefined || options === undefined || type === undefined || source === undefined)
        throw new TypeError(`not a line of mountinfo: ${line}`)
      return {
        target: unescape(target),
        type: unescape(type),
        source: unescape(source),
        options,
        sizeBytes: null,
        usedBytes: null,
      }
    })
}

/** Blank, tab, newline and backslash come as \040 \011 \012 \134 (mangle() of fs/proc_namespace.c). */
function unescape(field: string): string {
  return field.replaceAll(/\\([0-7]{3})/g, (_, octal: string) =>
    String.fromCharCode(Number.parseInt(octal, 8)),
  )
}

/**
 * All mounts, in the kernel's order, with their sizes.
 *
 * @throws SysError `ENOENT` /proc is not mounted
 */
export function readMounts(): Mount[] {
  const mounts = parseMountinfo(readText('/proc/self/mountinfo'))
  for (const mount of mounts) {
    const found = mayHang.test(mount.type) ? undefined : unlessRefused(() => statfs(mount.target))
    if (found === undefined || found.f_blocks === 0n) continue
    mount.sizeBytes = Number(found.f_blocks * found.f_bsize)
    mount.usedBytes = Number((found.f_blocks - found.f_bfree) * found.f_bsize)
  }
  return mounts
}
