// A command without flags, as the tests of its parts take it.
import type { Flags, Surroundings } from '../src/cli/plan.ts'

/** Where it is given. */
export const host: Surroundings = {
  folder: '/home/x',
  architecture: 'x86_64',
  shell: '/bin/bash',
  terminal: false,
}

/** What flags say when none is given. */
export const defaults: Flags = {
  backend: 'qemu',
  shell: false,
  noShare: false,
  readOnly: false,
  snapshot: true,
  console: false,
  verbose: false,
}
