import { defineConfig } from 'vitest/config'
import { fileURLToPath } from 'node:url'

const packagesFolder = fileURLToPath(new URL('./packages', import.meta.url))

/** `@pkg/sys/fs` is `packages/sys/src/fs.ts`: tests run the sources, as `paths` in tsconfig.base.json does. */
const alias = [
  { find: /^@pkg\/(\w+)$/, replacement: `${packagesFolder}/$1/src/index.ts` },
  { find: /^@pkg\/(\w+)\/(.+)$/, replacement: `${packagesFolder}/$1/src/$2.ts` },
]

const shared = {
  // A crash in an FFI test then ends one file's process, not the run.
  pool: 'forks' as const,
  isolate: true,
}

export default defineConfig({
  test: {
    projects: [
      {
        resolve: { alias },
        test: {
          ...shared,
          name: 'unit',
          include: [
            'packages/*/test/**/*.test.ts',
            'bench/test/**/*.test.ts',
            'scripts/test/**/*.test.ts',
            'examples/*/test/**/*.test.ts',
          ],
          exclude: ['**/*.vm.test.ts', '**/node_modules/**'],
          // Many tests wait for a timer or a daemon: a third keeps two cores busy.
          maxWorkers: 3,
          // Ends what hangs. A machine that is busy with other things must not fail a test.
          testTimeout: 60_000,
        },
      },
      {
        resolve: { alias },
        // One guest at a time on two cores.
        test: {
          ...shared,
          name: 'vm',
          include: ['packages/*/test/**/*.vm.test.ts', 'examples/*/test/**/*.vm.test.ts'],
          exclude: ['**/node_modules/**'],
          fileParallelism: false,
          testTimeout: 120_000,
          // Under TCG (QEMU 7.2) about one cold boot in forty hangs with one CPU waiting for the other.
          retry: 1,
          hookTimeout: 240_000,
        },
      },
    ],
  },
})
