import { fileURLToPath } from 'node:url'
import { defineConfig } from 'vitest/config'
import { BaseSequencer, type TestSpecification } from 'vitest/node'

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
  // As the limits below, it ends what hangs: the default of a second is over when a busy machine looks away.
  expect: { poll: { timeout: 30_000 } },
}

/** Those that take longest, the longest first: begun last, one of them would keep one core waiting for its end. */
const longestFirst = [
  'distro/test/rollback',
  'distro/test/update',
  'distro/test/torture/life',
  'distro/test/disk',
  'distro/test/data',
  'distro/test/trial',
  'distro/test/twins',
  'vm/test/command',
  'vm/test/vitest',
  'distro/test/torture/crash-states',
  'distro/test/stage1',
  'vm/test/suites',
]

/** Before a run there is no telling how long a file takes, and vitest would go by its size. */
class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const rank = ({ moduleId, project }: TestSpecification): number => {
      const found = longestFirst.findIndex((name) => moduleId.endsWith(`/packages/${name}.vm.test.ts`))
      return project.config.sequence.groupOrder * 1000 + (found === -1 ? longestFirst.length : found)
    }
    // oxlint-disable-next-line unicorn/no-array-sort -- of a sequencer, not of an array
    const others = await super.sort(files)
    return others.toSorted((one, other) => rank(one) - rank(other))
  }
}

export default defineConfig({
  test: {
    sequence: { sequencer: LongestFirst },
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
          testTimeout: 180_000,
          hookTimeout: 180_000,
        },
      },
      {
        resolve: { alias },
        test: {
          ...shared,
          name: 'vm',
          include: ['packages/*/test/**/*.vm.test.ts', 'examples/*/test/**/*.vm.test.ts'],
          exclude: ['**/node_modules/**'],
          // A machine waits for a third of its time, for a gate, a poll or a tool: a third keeps two cores busy.
          maxWorkers: 3,
          sequence: { groupOrder: 1 },
          testTimeout: 300_000,
          // Under TCG (QEMU 7.2) about one cold boot in forty hangs with one CPU waiting for the other.
          retry: 1,
          hookTimeout: 600_000,
        },
      },
    ],
  },
})
