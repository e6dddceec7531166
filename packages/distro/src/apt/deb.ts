// Unpacking .deb files without dpkg's database: dpkg-deb reads the format, tar-stream the archive in it.
import { createWriteStream } from 'node:fs'
import { mkdir, symlink } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { extract } from 'tar-stream'
import { SoloError } from '../error.ts'
import { streamProgram } from '../host/program.ts'

/**
 * Unpacks files and symbolic links of a package into a folder.
 *
 * @param deb - the .deb file
 * @param folder - an existing folder
 * @param place - maps a path in the package (no leading slash) to one in `folder`; undefined leaves it out
 * @throws SoloError when the package is damaged or would write outside of the folder
 */
export async function unpackDeb(
  deb: string,
  folder: string,
  place: (path: string) => string | undefined,
): Promise<void> {
  const { output, done } = streamProgram('dpkg-deb', ['--fsys-tarfile', deb])
  const links = new Set<string>()
  const archive = extract()
  const feeding = pipeline(output, archive).catch((error: unknown) => archive.destroy(error as Error))
  for await (const entry of archive) {
    const { name, type, linkname, mode } = entry.header
    const path = name.replace(/^\.?\/+/, '').replace(/\/+$/, '')
    const target = path === '' ? undefined : place(path)
    if (target === undefined || (type !== 'file' && type !== 'symlink')) {
      entry.resume()
      continue
    }
    refuseEscape(deb, target, links)
    const destination = join(folder, target)
    await mkdir(dirname(destination), { recursive: true })
    if (type === 'symlink') {
      links.add(target)
      await symlink(linkname, destination)
      entry.resume()
    } else {
      await pipeline(entry, createWriteStream(destination, { mode: (mode & 0o755) | 0o600 }))
    }
  }
  await feeding
  await done
}

/** A package from elsewhere (`kernel: { deb }`) is input like any other. */
function refuseEscape(deb: string, path: string, links: ReadonlySet<string>): void {
  const parts = path.split('/')
  const below = parts.slice(1).map((_, index) => parts.slice(0, index + 1).join('/'))
  if (parts.includes('..') || below.some((parent) => links.has(parent))) {
    throw new SoloError(`${deb}: refusing to unpack ${path}: it would be written outside of its folder`)
  }
}
