// Unpacking .deb files without dpkg's database: dpkg-deb reads the format, and gives the tar archive in it.
import { createWriteStream } from 'node:fs'
import { mkdir, symlink } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { ProvisionError } from '../host/error.ts'
import { streamProgram } from '../host/program.ts'
import { readTar, type TarEntry } from './tar.ts'

/** What a package says of a path, besides its bytes. */
export type DebEntry = Pick<TarEntry, 'type' | 'target' | 'mode' | 'uid' | 'gid'> & {
  /** Its path in the folder. */
  readonly path: string
}

/**
 * Unpacks files and symbolic links of a package into a folder.
 *
 * @param deb - the .deb file
 * @param folder - an existing folder
 * @param place - maps a path in the package (no leading slash) to one in `folder`; undefined leaves it out
 * @param onEntry - is told what has a place: directories and hard links too, which are not made
 * @throws ProvisionError when the package is damaged or would write outside of the folder
 */
export async function unpackDeb(
  deb: string,
  folder: string,
  place: (path: string) => string | undefined,
  onEntry?: (entry: DebEntry) => void,
): Promise<void> {
  const { output, done } = streamProgram('dpkg-deb', ['--fsys-tarfile', deb])
  const links = new Set<string>()
  try {
    for await (const entry of readTar(output)) {
      const { name, type, target: linkTarget, mode, content } = entry
      const path = name.replace(/^\.?\/+/, '').replace(/\/+$/, '')
      const target = path === '' ? undefined : place(path)
      if (target === undefined) continue
      refuseEscape(deb, target, links)
      onEntry?.({ path: target, type, target: linkTarget, mode, uid: entry.uid, gid: entry.gid })
      if (type !== 'file' && type !== 'symlink') continue
      const destination = join(folder, target)
      await mkdir(dirname(destination), { recursive: true })
      if (type === 'symlink') {
        links.add(target)
        await symlink(linkTarget, destination)
      } else {
        await pipeline(content, createWriteStream(destination, { mode: (mode & 0o755) | 0o600 }))
      }
    }
  } catch (error) {
    // dpkg-deb's own words say more than that the archive is cut off.
    if (!(error instanceof ProvisionError) && output.readableEnded) await done
    throw error
  }
  await done
}

/** A package from elsewhere (`kernel: { deb }`) is input like any other. */
function refuseEscape(deb: string, path: string, links: ReadonlySet<string>): void {
  const parts = path.split('/')
  const below = parts.slice(1).map((_, index) => parts.slice(0, index + 1).join('/'))
  if (parts.includes('..') || below.some((parent) => links.has(parent))) {
    throw new ProvisionError(`${deb}: refusing to unpack ${path}: it would be written outside of its folder`)
  }
}
