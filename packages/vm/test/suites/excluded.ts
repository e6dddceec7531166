// Tests of @pkg/sys that the kernel of these guests, Debian 12's Linux 6.1, cannot pass, and why.

import type { Architecture } from '../../src/machine.ts'

/** A test, by what its full name contains. */
interface Excluded {
  readonly test: string
  /** The guest's processor; default: both. */
  readonly architecture?: Architecture
  readonly reason: string
}

/** Not run in guests. */
const EXCLUDED: readonly Excluded[] = [
  { test: 'fchmodat2()', reason: 'fchmodat2 is of Linux 6.6' },
  { test: 'file_getattr()', reason: 'file_getattr is of Linux 6.17' },
  { test: 'setxattr(), getxattr()', reason: 'tmpfs has user.* attributes since Linux 6.6' },
  { test: 'fsetxattr(), fgetxattr()', reason: 'the same' },
  { test: 'lsetxattr(), lgetxattr()', reason: 'the same' },
  { test: 'setxattrat()', reason: 'setxattrat is of Linux 6.13' },
  { test: 'preadv2() does not wait', reason: 'tmpfs has no reads that do not wait there (EOPNOTSUPP)' },
  { test: 'listmount()', reason: 'statmount and listmount are of Linux 6.8' },
  { test: 'open_tree_attr()', reason: 'open_tree_attr is of Linux 6.15' },
  { test: 'cachestat()', reason: 'cachestat is of Linux 6.5' },
  { test: 'x64: objdump', architecture: 'aarch64', reason: 'means the objdump of an x86-64 host' },
  {
    test: 'Program on x64',
    architecture: 'aarch64',
    reason: 'needs an emulator of x86-64 in a machine that is emulated',
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

/** Matches the full names of all other tests. */
export function included(architecture: Architecture): RegExp {
  const excluded = EXCLUDED.filter((each) => (each.architecture ?? architecture) === architecture)
  const literal = (text: string): string => text.replaceAll(/[.*+?^${}()|[\]\\]/g, String.raw`\$&`)
  return new RegExp(`^(?!.*(?:${excluded.map(({ test }) => literal(test)).join('|')}))`)
}
