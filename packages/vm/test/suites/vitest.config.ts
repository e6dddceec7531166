// The suites of @pkg/sys on kernels of guests: x86-64 (q35) and arm64 (virt), each file in a machine of its own,
// restored from a saved one. The host transforms the sources; the guest has Bun, the packages' folders and a /usr.
//
//   SUITE_ARCHITECTURE=aarch64 bun --preload ./scripts/vitest-fork-preload.ts node_modules/vitest/vitest.mjs run \
//     --configLoader=native --config packages/vm/test/suites/vitest.config.ts
import { fileURLToPath } from 'node:url'
import type { ViteUserConfig } from 'vitest/config'
import type { Architecture } from '../../src/machine.ts'
import { guestPool } from '../../src/vitest.ts'
import { provideUsr } from '../support/debian-usr.ts'
import { EXCLUDED_FILES, included } from './excluded.ts'

const repository = fileURLToPath(new URL('../../../..', import.meta.url))

/** What the suites call, for a guest that cannot run the host's programs. */
const PACKAGES = [
  ...['dash', 'coreutils', 'findutils', 'sed', 'util-linux', 'perl-base', 'strace'],
  ...['binutils-aarch64-linux-gnu', 'binutils-x86-64-linux-gnu'],
]

/** Emulated, 400 processes take a minute; and `scriptResult` of their tests blocks the process that waits for them. */
const LIMIT_MS = 600_000

const config: () => Promise<ViteUserConfig> = () =>
  makeConfig((process.env['SUITE_ARCHITECTURE'] ?? 'x86_64') as Architecture)
export default config

async function makeConfig(architecture: Architecture): Promise<ViteUserConfig> {
  const usr = architecture === 'x86_64' ? '/usr' : await provideUsr(architecture, PACKAGES)
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
        snapshot: true,
        blockedTimeoutMs: LIMIT_MS,
        shares: [{ host: usr, guest: '/usr' }, ...folders.map((folder) => ({ host: folder, guest: folder }))],
      }),
      include: ['packages/sys/test/**/*.test.ts'],
      exclude: [...EXCLUDED_FILES],
      testNamePattern: included(architecture),
      setupFiles: [fileURLToPath(new URL('guest-setup.ts', import.meta.url))],
      fileParallelism: false,
      testTimeout: LIMIT_MS,
    },
  }
}
