// /etc/resolv.conf: who answers DNS questions. Rendered whole, and replaced at once, so that no reader sees half of it.
import { randomUUID } from 'node:crypto'
import { open, readlink, rename, rm, writeFile } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'
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
 * @param path - usually `/etc/resolv.conf`
 * @throws Error with `code` `EROFS`, `ENOSPC`, `EACCES` … as node:fs does
 */
export async function writeResolvConf(path: string, conf: ResolvConf): Promise<void> {
  const content = renderResolvConf(conf)
  const target = await followLink(path)
  const temporary = `${target}.${randomUUID().slice(0, 8)}.new`
  try {
    const file = await open(temporary, 'wx', 0o644)
    try {
      await file.writeFile(content)
      await file.sync()
    } finally {
      await file.close()
    }
    await rename(temporary, target)
  } catch (error) {
    await rm(temporary, { force: true })
    if (!hasCode(error, 'EBUSY')) throw error
    await writeFile(target, content)
  }
}

async function followLink(path: string): Promise<string> {
  try {
    return resolve(dirname(path), await readlink(path))
  } catch (error) {
    // EINVAL: not a link. ENOENT: nothing there yet.
    if (hasCode(error, 'EINVAL') || hasCode(error, 'ENOENT')) return path
    throw error
  }
}

function hasCode(error: unknown, code: string): boolean {
  return error instanceof Error && 'code' in error && error.code === code
}
