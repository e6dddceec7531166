// The small files of /etc, each as the programs that read it expect it.
import type { ApplianceConfig } from '../config.ts'
import { groupsOf, usersOf } from './accounts.ts'

/** Files of /etc by path; all 0644 and root's. */
export function etcFiles(config: ApplianceConfig): Map<string, string> {
  const hostname = config.hostname ?? config.name
  const lines = (all: readonly string[]): string => all.map((line) => `${line}\n`).join('')
  return new Map([
    [
      '/etc/passwd',
      lines([
        'root:x:0:0:root:/root:/sbin/nologin',
        ...usersOf(config).map(({ name, uid, home }) => `${name}:x:${uid}:${uid}::${home}:/sbin/nologin`),
      ]),
    ],
    [
      '/etc/group',
      lines([
        'root:x:0:',
        ...groupsOf(config).map(({ name, gid, members }) => `${name}:x:${gid}:${members.join(',')}`),
      ]),
    ],
    ['/etc/hostname', lines([hostname])],
    // 127.0.1.1 for the host's own name, as Debian has it: 127.0.0.1 stays localhost when it is looked up.
    ['/etc/hosts', lines(['127.0.0.1 localhost', '::1 localhost', `127.0.1.1 ${hostname}`])],
    ['/etc/nsswitch.conf', lines(['passwd: files', 'group: files', 'hosts: files dns'])],
    ['/etc/os-release', osRelease(config)],
  ])
}

/** @see https://man7.org/linux/man-pages/man5/os-release.5.html */
function osRelease({ name, version }: ApplianceConfig): string {
  const fields: [string, string][] = [
    ['NAME', 'Solo'],
    ['ID', 'solo'],
    ['PRETTY_NAME', `Solo (${name}${version === undefined ? '' : ` ${version}`})`],
    ['IMAGE_ID', name],
    ...(version === undefined ? [] : ([['IMAGE_VERSION', version]] as [string, string][])),
  ]
  return fields.map(([key, value]) => `${key}="${value}"\n`).join('')
}
