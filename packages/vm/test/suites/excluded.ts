// What of the suites of @pkg/sys guests do not run, and why.

import type { Architecture } from '../../src/machine.ts'

/** A test, by what its full name contains. */
interface Excluded {
  readonly test: string
  /** The first kernel that has what it needs, as `major.minor`: a guest with that one or a later one runs it. */
  readonly since?: string
  /** The guest's processor; default: both. */
  readonly architecture?: Architecture
  readonly reason: string
}

/** Skipped in guests, with the reason. Debian 12, whose kernel they have by default, has Linux 6.1. */
const EXCLUDED: readonly Excluded[] = [
  { test: 'prctl_set_mdwe()', since: '6.3', reason: 'PR_SET_MDWE' },
  { test: 'fsconfig_create_excl()', since: '6.6', reason: 'FSCONFIG_CMD_CREATE_EXCL' },
  { test: 'unique number of a mount', since: '6.12', reason: 'AT_HANDLE_MNT_ID_UNIQUE' },
  {
    test: 'ioctl_uffdio_writeprotect()',
    since: '6.10',
    architecture: 'aarch64',
    reason: 'pages that are protected for userfaultfd',
  },
  { test: 'cachestat()', since: '6.5', reason: 'cachestat' },
  { test: 'SO_PASSPIDFD asks for', since: '6.5', reason: 'SO_PASSPIDFD' },
  { test: 'setxattr(), getxattr()', since: '6.6', reason: 'user.* attributes of tmpfs' },
  { test: 'fsetxattr(), fgetxattr()', since: '6.6', reason: 'user.* attributes of tmpfs' },
  { test: 'lsetxattr(), lgetxattr()', since: '6.6', reason: 'user.* attributes of tmpfs' },
  { test: 'preadv2() does not wait', reason: 'reads that do not wait, which tmpfs lacks (EOPNOTSUPP)' },
  { test: 'fchmodat2()', since: '6.6', reason: 'fchmodat2' },
  { test: 'futexes futex_wa', since: '6.7', reason: 'futex_wait and futex_wake' },
  { test: 'futex_requeue()', since: '6.7', reason: 'futex_requeue' },
  { test: 'landlock_create_ruleset()', since: '6.7', reason: 'rules of Landlock for ports' },
  { test: 'ioctl_ns_get_nstype()', since: '6.10', reason: 'NS_GET_MNTNS_ID' },
  { test: 'execveat()', since: '6.14', reason: 'AT_EXECVE_CHECK' },
  { test: 'listmount()', since: '6.8', reason: 'listmount and statmount' },
  { test: 'lsm_list_modules()', since: '6.8', reason: 'lsm_list_modules' },
  { test: 'mseal()', since: '6.10', reason: 'mseal' },
  { test: 'setxattrat()', since: '6.13', reason: 'setxattrat' },
  { test: 'open_tree_attr()', since: '6.15', reason: 'open_tree_attr' },
  { test: 'file_getattr()', since: '6.17', reason: 'file_getattr' },
  { test: 'swapon()', reason: 'a swap file, which tmpfs cannot hold (EINVAL)' },
  { test: 'a boot stub is made under Node', reason: 'Node, which makes on the host what it makes anywhere' },
  { test: 'x64: objdump', architecture: 'aarch64', reason: 'the objdump of an x86-64 host' },
  {
    test: 'Program on x64',
    architecture: 'aarch64',
    reason: 'an emulator of x86-64 in a machine that is emulated',
  },
]

/** Files of which nothing is the guest's kernel's. */
export const EXCLUDED_FILES: readonly string[] = [
  // Two C compilers of the host judge the generated tables.
  'packages/sys/test/generated.test.ts',
  // Boots a guest of its own.
  'packages/sys/test/own-kernel.vm.test.ts',
  // The example asks for programs that a host has.
  'packages/sys/test/readme.test.ts',
]

/** What a guest with this processor and this kernel lacks for the test of this full name; undefined when nothing. */
export function lacking(architecture: Architecture, release: string, fullName: string): string | undefined {
  const found = EXCLUDED.find(
    (each) =>
      (each.architecture ?? architecture) === architecture &&
      (each.since === undefined || isOlder(release, each.since)) &&
      fullName.includes(each.test),
  )
  if (found === undefined) return undefined
  return found.since === undefined
    ? `needs ${found.reason}`
    : `needs ${found.reason}: since Linux ${found.since}`
}

function isOlder(release: string, first: string): boolean {
  const [major = 0, minor = 0] = release.split('.').map((part) => Number.parseInt(part, 10))
  const [firstMajor = 0, firstMinor = 0] = first.split('.').map(Number)
  return major < firstMajor || (major === firstMajor && minor < firstMinor)
}
