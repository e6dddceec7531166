// Programs of Debian with everything they need, as a folder that is to be /usr of a guest: for tests that call
// programs, in a guest whose processor is not the host's.
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { unpackDeb } from '../../src/apt/deb.ts'
import { openArchive } from '../../src/archive.ts'
import { cacheFolder } from '../../src/host/cache.ts'
import { sha256 } from '../../src/host/files.ts'
import { fillOnce } from '../../src/host/once.ts'
import type { Architecture } from '../../src/machine.ts'

/** Raised when {@link place} changes. */
const LAYOUT_VERSION = 1

/** Programs and libraries, below /usr as Debian has them since usrmerge; no documentation. */
function place(path: string): string | undefined {
  const inUsr = path.replace(/^usr\//, '')
  return /^(bin|sbin|lib)\//.test(inUsr) ? inUsr : undefined
}

/** A folder with the programs of `packages`, fetched through apt at the first call, and kept in the cache folder. */
export async function provideUsr(architecture: Architecture, packages: readonly string[]): Promise<string> {
  const archive = await openArchive({ architecture })
  const pins = await archive.pins('test programs', packages.join(' '), (apt, names) =>
    apt.solve(names.split(' ')),
  )
  const id = sha256([LAYOUT_VERSION, ...pins.map((pin) => pin.sha256)].join('\n')).slice(0, 32)
  const folder = join(cacheFolder(), 'vm', 'test-usr', id)
  if (existsSync(folder)) return folder
  await fillOnce(folder, async (scratch) => {
    for (const pin of pins) await unpackDeb(await archive.file('test programs', pin), scratch, place)
  })
  return folder
}
