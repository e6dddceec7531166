// The suites of @pkg/sys on kernels of guests: x86-64 (q35) and arm64 (virt), each file in a machine of its own,
// restored from a saved one. The host transforms the sources; the guest has Bun, the packages' folders and a /usr.
//
//   bun run test:suites --project aarch64 [packages/sys/test/spawn.test.ts …]
//
// A file takes a guest of x86-64 about ten times, one of arm64 about thirty times as long as the host, without KVM.
import { realpathSync } from 'node:fs'
import { dirname } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { UserWorkspaceConfig, ViteUserConfig } from 'vitest/config'
import type { Architecture } from '../../src/machine.ts'
import { guestPool } from '../../src/vitest.ts'
import { provideUsr } from '../support/debian-usr.ts'
import { EXCLUDED_FILES } from './excluded.ts'

const repository = fileURLToPath(new URL('../../../..', import.meta.url))

/** What the suites call, for a guest that cannot run the host's programs. */
const PACKAGES = [
  ...['dash', 'coreutils', 'findutils', 'grep', 'sed', 'perl-base', 'procps', 'strace'],
  ...['util-linux', 'mount', 'e2fsprogs', 'iproute2'],
  ...['binutils-aarch64-linux-gnu', 'binutils-x86-64-linux-gnu'],
]

/** Of the kernel's modules, those whose devices the suites open. */
const MODULES = ['loop', 'tun', 'ext4', 'algif_hash']

/** A library that a test's own child loads, and what it needs; what tests import the host brings them. */
const LIBRARY = ['fast-check', 'pure-rand']

/** Emulated, 400 processes take a minute; and `scriptResult` of their tests blocks the process that waits for them. */
const LIMIT_MS = 600_000

const config: () => Promise<ViteUserConfig> = async () => ({
  root: repository,
  test: { projects: [await project('x86_64'), await project('aarch64')] },
})
export default config

async function project(architecture: Architecture): Promise<UserWorkspaceConfig> {
  const usr = architecture === 'x86_64' ? '/usr' : await provideUsr(architecture, PACKAGES)
  const library = dirname(realpathSync(`${repository}node_modules/${LIBRARY[0]}`))
  const folders = ['packages/sys', 'packages/image'].map((name) => `${repository}${name}`)
  return {
    root: repository,
    resolve: {
      alias: [{ find: /^@pkg\/(\w+)\/(.+)$/, replacement: `${repository}packages/$1/src/$2.ts` }],
    },
    test: {
      name: architecture,
      pool: guestPool({
        backend: 'qemu',
        architecture,
        memoryMiB: 1024,
        // Linux has memfd_secret(2) only when it is told so, before 6.5.
        append: 'secretmem.enable=1',
        modules: MODULES,
        snapshot: true,
        blockedTimeoutMs: LIMIT_MS,
        shares: [
          { host: usr, guest: '/usr' },
          ...LIBRARY.map((name) => ({
            host: realpathSync(`${library}/${name}`),
            guest: `${repository}packages/node_modules/${name}`,
          })),
          ...folders.map((folder) => ({ host: folder, guest: folder })),
        ],
      }),
      include: ['packages/sys/test/**/*.test.ts'],
      exclude: [...EXCLUDED_FILES],
      setupFiles: [fileURLToPath(new URL('guest-setup.ts', import.meta.url))],
      fileParallelism: false,
      testTimeout: LIMIT_MS,
    },
  }
}
