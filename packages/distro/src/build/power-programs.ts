// /sbin/poweroff, /sbin/reboot and /sbin/halt: static programs that ask PID 1.
import type { FileTree } from '@pkg/image/tree'
import { powerProgram } from '@pkg/init/power-program'
import type { Architecture } from '@pkg/vm/machine'
import { staticProgram } from './static-program.ts'

const programs = [
  ['/sbin/poweroff', 'power-off'],
  ['/sbin/reboot', 'reboot'],
  ['/sbin/halt', 'halt'],
] as const

/** Adds them. */
export function addPowerPrograms(tree: FileTree, architecture: Architecture): void {
  for (const [path, kind] of programs) {
    const content = staticProgram(powerProgram(kind), architecture)
    tree.add({ path, type: 'file', mode: 0o755, content })
  }
}
