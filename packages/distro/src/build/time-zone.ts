// The local time of an image: its zone's file, from Debian's package, and /etc/localtime, which leads to it.
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { hostFile } from '@pkg/image/file-source'
import type { FileTree } from '@pkg/image/tree'
import { type Archive, providePackage } from '@pkg/vm/archive'
import { kindOf } from '@pkg/vm/host'
import { nearest } from '../config/expect.ts'
import { ConfigError } from '../error.ts'

/** Where zones lie in an image: the C library and Bun tell the zone's name by the path behind it. */
const ZONES_FOLDER = '/usr/share/zoneinfo'

/**
 * Adds a zone and makes it the local one.
 *
 * @param zone - its name, such as `Europe/Berlin`
 * @throws ConfigError when there is no such zone; ProvisionError when the package cannot be had
 */
export async function addTimeZone(
  tree: FileTree,
  zone: string,
  { archive, cache, configFile }: { archive: Archive; cache: string; configFile: string },
): Promise<void> {
  const folder = await providePackage(archive, cache, {
    role: 'time zones',
    name: 'tzdata',
    layoutVersion: 1,
    // posix/ and right/ are the same once more, the latter with leap seconds, which no clock here counts.
    place: (path) => /^usr\/share\/zoneinfo\/(?!posix\/|right\/)([A-Z].*)$/.exec(path)?.[1],
  })
  const source = join(folder, zone)
  if ((await kindOf(source)) !== 'file') {
    const near = nearest(zone, await readdir(folder, { recursive: true }))
    const hint = near === undefined ? '' : `; did you mean ${JSON.stringify(near)}?`
    const message = `expected a time zone such as "Europe/Berlin", got ${JSON.stringify(zone)}${hint}`
    throw new ConfigError(configFile, [{ path: 'timeZone', message }])
  }
  const path = `${ZONES_FOLDER}/${zone}`
  if (!tree.has(path)) tree.add({ path, type: 'file', content: await hostFile(source) })
  if (!tree.has('/etc/localtime')) {
    tree.add({ path: '/etc/localtime', type: 'symlink', target: `..${path}` })
  }
}
