// Which packages come into an image: those that the configuration names, and what these need on a machine that has
// no package manager, no shell and nobody who logs in.
import type { Archive, PackageRecord, Pin } from '@pkg/vm/archive'

/**
 * Packages that others depend on for their scripts, which never run here, or for the people at a machine. Who wants
 * one names it. libc6 is left out because the image has its glibc already: what else of it is needed comes with the
 * libraries of each program.
 */
export const inessentialPackages: ReadonlySet<string> = new Set(
  [
    [
      'adduser',
      'base-files',
      'base-passwd',
      'bash',
      'bsdutils',
      'coreutils',
      'dash',
      'debconf',
      'debianutils',
    ],
    [
      'diffutils',
      'dpkg',
      'findutils',
      'grep',
      'gzip',
      'hostname',
      'init-system-helpers',
      'install-info',
      'iproute2',
    ],
    ['libc-bin', 'libc6', 'libpam-modules', 'libpam-modules-bin', 'libpam-runtime', 'login'],
    ['lsb-base', 'mawk', 'mount', 'ncurses-base', 'ncurses-bin', 'openssl', 'passwd', 'perl', 'perl-base'],
    ['procps', 'psmisc', 'sed', 'sensible-utils', 'systemd', 'sysvinit-utils', 'tar', 'ucf', 'usrmerge'],
    ['util-linux', 'util-linux-extra'],
  ].flat(),
)

/**
 * The packages of an image, pinned.
 *
 * @throws ProvisionError one is not there, or they cannot be had together
 */
export async function resolvePackages(archive: Archive, names: readonly string[]): Promise<readonly Pin[]> {
  const request = names.toSorted().join(' ')
  return await archive.pins('packages', request, async (apt) => needed(await apt.solve(names), names))
}

/** Of solved packages those that are named, and those that these need, in their order. */
export function needed(solved: readonly PackageRecord[], names: readonly string[]): PackageRecord[] {
  const byName = new Map(solved.map((record) => [record.name, record]))
  const kept = new Set(names)
  // A set that grows is walked to its end.
  for (const name of kept) {
    for (const alternatives of byName.get(name)?.dependencies ?? []) {
      const next = alternatives.find((each) => byName.has(each.name))
      if (next !== undefined && !inessentialPackages.has(next.name)) kept.add(next.name)
    }
  }
  return solved.filter(({ name }) => kept.has(name))
}
