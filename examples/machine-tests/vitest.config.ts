// Four projects: a file that drives a machine from the host, and one file that runs inside of three kinds of guests.
import { guestPool } from '@pkg/vm/vitest'
import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    // One guest at a time: where there is no KVM, each keeps a processor busy.
    maxWorkers: 1,
    testTimeout: 60_000,
    hookTimeout: 240_000,
    projects: [
      { extends: true, test: { name: 'host', include: ['host/*.test.ts'] } },
      {
        extends: true,
        test: { name: 'namespace', include: ['guest/*.test.ts'], pool: guestPool({ backend: 'namespace' }) },
      },
      {
        extends: true,
        test: { name: 'uml', include: ['guest/*.test.ts'], pool: guestPool({ backend: 'uml' }) },
      },
      {
        extends: true,
        test: {
          name: 'qemu',
          include: ['guest/*.test.ts'],
          pool: guestPool({ backend: 'qemu', snapshot: true }),
        },
      },
    ],
  },
})
