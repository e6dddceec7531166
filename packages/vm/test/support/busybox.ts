// Debian's busybox-static for either processor: programs that nobody here wrote, of a guest that is not as the host.
import { mkdtempSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { unpackDeb } from '../../src/apt/deb.ts'
import { openArchive } from '../../src/archive.ts'
import type { Architecture } from '../../src/machine.ts'

/** A busybox in a folder of its own. */
export interface Busybox extends AsyncDisposable {
  /** The folder that it lies in. */
  readonly folder: string
  /** The program. */
  readonly path: string
}

/** Fetches it through apt at the first call; the package stays in the cache folder. */
export async function provideBusybox(architecture: Architecture): Promise<Busybox> {
  const archive = await openArchive({ architecture })
  const [pin] = await archive.pins('busybox', 'busybox-static', async (apt, request) =>
    (await apt.show(request)).slice(0, 1),
  )
  if (pin === undefined) throw new Error('there is no busybox-static in the sources of apt')
  const folder = mkdtempSync(join(tmpdir(), 'solo-busybox-'))
  await unpackDeb(await archive.file('busybox', pin), folder, (path) =>
    /^(usr\/)?bin\/busybox$/.test(path) ? 'busybox' : undefined,
  )
  return {
    folder,
    path: join(folder, 'busybox'),
    [Symbol.asyncDispose]: () => rm(folder, { recursive: true, force: true }),
  }
}
