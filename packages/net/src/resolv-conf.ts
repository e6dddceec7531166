// /etc/resolv.conf: who answers DNS questions. Rendered whole, and replaced at once, so that no reader sees half of it.
import { AT_FDCWD, O_CREAT, O_EXCL, O_TRUNC, O_WRONLY } from '@pkg/sys/constants'
import { isSysError } from '@pkg/sys/errno'
import { openat, readlinkat, renameat2, unlinkat } from '@pkg/sys/fs'
import { fsync, writeAll } from '@pkg/sys/io'
import { parseAddress } from './ip.ts'

/** What a resolv.conf says. */
export interface ResolvConf {
  /** Servers in order of preference; glibc reads the first three only (`MAXNS`). */
  nameservers: readonly string[]
  /** Domains that short names are tried in. */
  search?: readonly string[]
  /** As in resolv.conf(5): `edns0`, `timeout:2`, `rotate`. */
  options?: readonly string[]
}

/** glibc's `MAXNS` (resolv.h): it ignores further nameserver lines. */
const NAMESERVERS_MAX = 3

/**
 * Renders the file's text. Servers after the third stand in a comment, because glibc ignores them.
 *
 * @throws TypeError when a server is not an address or a word has blanks (it could smuggle in a line)
 * @see https://man7.org/linux/man-pages/man5/resolv.conf.5.html
 * @example
 * ```ts
 * import { renderResolvConf } from '@pkg/net/resolv-conf'
 *
 * console.log(renderResolvConf({ nameservers: ['10.0.2.3'], search: ['example.org'] }))
 * ```
 */
export function renderResolvConf(conf: ResolvConf): string {
  for (const server of conf.nameservers) {
    // A zone is legal here (fe80::1%eth0), and only here.
    parseAddress(server.replace(/%[\w.-]+$/, ''))
  }
  for (const word of [...(conf.search ?? []), ...(conf.options ?? [])]) {
    if (!/^[\x21-\x7e]+$/.test(word))
      throw new TypeError(`resolv.conf: ${JSON.stringify(word)} is not one printable word`)
  }
  const lines = conf.nameservers.map((server, index) =>
    index < NAMESERVERS_MAX ? `nameserver ${server}` : `# beyond glibc's three: nameserver ${server}`,
  )
  if (conf.search?.length) lines.push(`search ${conf.search.join(' ')}`)
  if (conf.options?.length) lines.push(`options ${conf.options.join(' ')}`)
  return lines.map((line) => `${line}\n`).join('')
}

/**
 * Writes the file: beside it under another name, fsync, then rename, so that a reader and a power cut see the old text
 * or the new. A symbolic link at `path` is followed, as `/etc/resolv.conf` → `/run/resolv.conf` on a read-only root.
 * Where the file is a mount of its own (containers), a rename is EBUSY and it is written in place.
 *
 * Blocks: while the disk takes a few hundred bytes; not at all where it is a tmpfs.
 *
 * @param path - usually `/etc/resolv.conf`
 * @throws {@link SysError} `EROFS`, `ENOSPC`, `EACCES` …
 */
export function writeResolvConf(path: string, conf: ResolvConf): void {
  const content = new TextEncoder().encode(renderResolvConf(conf))
  const target = followLink(path)
  const temporary = `${target}.${crypto.randomUUID().slice(0, 8)}.new`
  try {
    writeFile(temporary, O_CREAT | O_EXCL, content)
    renameat2(AT_FDCWD, temporary, AT_FDCWD, target)
  } catch (error) {
    removeIfThere(temporary)
    if (!isSysError(error, 'EBUSY')) throw error
    writeFile(target, O_CREAT | O_TRUNC, content)
  }
}

function writeFile(path: string, flags: number, content: Uint8Array): void {
  using file = openat(AT_FDCWD, path, O_WRONLY | flags, 0o644)
  writeAll(file, content)
  fsync(file)
}

function removeIfThere(path: string): void {
  try {
    unlinkat(AT_FDCWD, path)
  } catch (error) {
    if (!isSysError(error, 'ENOENT')) throw error
  }
}

function followLink(path: string): string {
  try {
    const target = readlinkat(AT_FDCWD, path)
    return target.startsWith('/') ? target : `${path.slice(0, path.lastIndexOf('/') + 1)}${target}`
  } catch (error) {
    // EINVAL: not a link. ENOENT: nothing there yet.
    if (isSysError(error, 'EINVAL') || isSysError(error, 'ENOENT')) return path
    throw error
  }
}
