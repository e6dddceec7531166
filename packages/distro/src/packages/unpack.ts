// A Debian package in the cache, unpacked once: its files, what it says of them, and what it depends on. Its scripts
// are not run, not even looked at.
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type Archive, type DebEntry, parseDependencies, type Pin, unpackDeb } from '@pkg/vm/archive'
import { explainWriteError, kindOf, runProgram, scratchBeside } from '@pkg/vm/host'

/** An unpacked package. */
export interface UnpackedPackage {
  readonly pin: Pin
  /** Folder with its files, laid out as in a root. */
  readonly folder: string
  /** Everything in it. */
  readonly entries: readonly DebEntry[]
  /** Names of the packages that it depends on, alternatives too. */
  readonly dependencies: readonly string[]
}

/** Raised when {@link isWanted} or the index changes. */
const layoutVersion = 2

/** What only people, a package manager or another init would look at. */
const unwanted = [
  /^usr\/share\/(doc|doc-base|man|info|locale|lintian|linda|bug|menu|applications|icons|pixmaps|reportbug)\//,
  /^usr\/share\/(bash-completion|zsh|fish|apport|initramfs-tools|polkit-1|dbus-1|metainfo|common-licenses|gcc|gdb|vim)\//,
  /^etc\/(init\.d|cron\.[^/]+|logrotate\.d|ufw|apparmor\.d|bash_completion\.d|default|systemd|logcheck|insserv\.conf\.d)\//,
  /^(usr\/)?lib\/(systemd|udev|tmpfiles\.d|sysusers\.d)\//,
  // The machine's own: on a disk /var is another partition, which would lie above it.
  /^(run|tmp|var)(\/|$)/,
]

/** Whether a path of a package belongs into an image. */
export function isWanted(path: string): boolean {
  return !unwanted.some((pattern) => pattern.test(`${path}/`) || pattern.test(path))
}

/** Unpacks a package, or finds it unpacked. */
export async function unpackPackage(archive: Archive, cache: string, pin: Pin): Promise<UnpackedPackage> {
  const folder = join(cache, 'unpacked', `${pin.sha256.slice(0, 32)}-v${layoutVersion}`)
  const index = join(folder, 'index.json')
  if ((await kindOf(folder)) === undefined) {
    const deb = await archive.file('packages', pin)
    try {
      await mkdir(join(folder, '..'), { recursive: true })
      using scratch = scratchBeside(folder)
      const entries: DebEntry[] = []
      await mkdir(join(scratch.folder, 'files'))
      const place = (path: string): string | undefined => (isWanted(path) ? path : undefined)
      await unpackDeb(deb, join(scratch.folder, 'files'), place, (entry) => entries.push(entry))
      await writeFile(
        join(scratch.folder, 'index.json'),
        JSON.stringify({ entries, dependencies: await dependenciesOf(deb) }),
      )
      await rename(scratch.folder, folder).catch(async (error: unknown) => {
        if ((await kindOf(folder)) !== 'folder') throw error
      })
    } catch (error) {
      throw explainWriteError(error, folder)
    }
  }
  const { entries, dependencies } = JSON.parse(await readFile(index, 'utf8')) as Omit<UnpackedPackage, 'pin'>
  return { pin, folder: join(folder, 'files'), entries, dependencies }
}

async function dependenciesOf(deb: string): Promise<string[]> {
  const fields = await runProgram('dpkg-deb', ['-f', deb, 'Pre-Depends', 'Depends'])
  const groups = fields.stdout
    .split('\n')
    .flatMap((line) => parseDependencies(line.replace(/^(Pre-)?Depends:/, '')))
  return [...new Set(groups.flat().map(({ name }) => name))]
}
