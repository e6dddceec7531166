/** Guests in namespaces whose PID 1 is a shell, for tests. */
import { type NamespaceMachine, type NamespaceOptions, startNamespace } from '../src/namespace.ts'

/** Starts a guest in the root `folder`, whose PID 1 is busybox's shell with `script`. */
export function startShell(
  folder: string,
  script: string,
  options: Partial<NamespaceOptions> = {},
): Promise<NamespaceMachine> {
  const args = ['sh', '-c', `export PATH=/bin; ${script}`]
  return startNamespace({ folder, program: '/bin/busybox', args, timeoutMs: 20_000, ...options })
}

/** Applets without their names in the folder: `b ls`. */
export const B = 'b() { busybox "$@"; };'

/** A script that says `up`, and goes on for ever. */
export const STAYS = 'echo up; while :; do busybox sleep 1; done'
