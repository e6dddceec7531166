/**
 * A guest in Linux namespaces: its own processes, mounts, network, host name and users, on the host's own kernel. It
 * starts in milliseconds, and without any privilege where the host allows user namespaces.
 *
 * It has no kernel, no clock and no devices of its own. As root it is as safe as a container of root's: mistakes do
 * not reach the host, malice might.
 */
import { NamespaceLife, startLife } from './namespace/life.ts'
import { plan } from './namespace/options.ts'
import type { NamespaceOptions } from './namespace/types.ts'
import { ProcessMachine, type Life } from './process-machine/process-machine.ts'
import { descendantsOf, stateOf } from './process-machine/process-tree.ts'

export { InitFailedError, NamespaceStartError } from './namespace/life.ts'
export { HOST_ROOT } from './namespace/setup.ts'
export { namespaceSupport, type NamespaceSupport } from './namespace/support.ts'
export type { NamespaceOptions, Share } from './namespace/types.ts'
export type { OnReboot } from './process-machine/process-machine.ts'

/** A guest in namespaces. `pid` is `unshare`, which ends as the guest's PID 1 does. */
export type NamespaceMachine = ProcessMachine

/**
 * Starts a guest, and resolves when its PID 1 is executed.
 *
 * When PID 1 exits with 0, as when it calls reboot(2) to power off, `exited` has the reason `poweroff`; when it exits
 * with anything else or dies of a signal, `panic`, because that is what it would be to a kernel. `init` tells which.
 *
 * The guest ends with us, even by SIGKILL, and leaves no process, mount or file.
 *
 * @throws TypeError an option that can never work
 * @throws {@link NamespaceStartError} the host refuses a namespace or a mount, or PID 1 cannot be executed
 *
 * @example
 * ```ts no-run
 * import { startNamespace } from '@pkg/vm/namespace'
 *
 * await using guest = await startNamespace({ folder: '/srv/root', program: '/sbin/init' })
 * await guest.console.waitFor(/login:/)
 * ```
 */
export async function startNamespace(options: NamespaceOptions): Promise<NamespaceMachine> {
  const planned = plan(options)
  const { onControl, powerdownSignal = 'SIGPWR' } = options
  return ProcessMachine.start(
    {
      backend: 'namespace',
      hasKernel: false,
      start: (onConsole) => startLife(planned, { onConsole, onControl, powerdownSignal }),
      describe,
    },
    options,
  )
}

const STATES: Readonly<Record<string, string>> = {
  R: 'runs',
  S: 'sleeps',
  D: 'waits for a device',
  T: 'is stopped',
  t: 'is stopped by a debugger',
  Z: 'has ended',
}

function describe(life: Life): string {
  const initPid = life instanceof NamespaceLife ? life.initPid : undefined
  if (initPid === undefined) return ''
  const state = STATES[stateOf(initPid) ?? 'Z'] ?? 'is in an unknown state'
  return `PID 1 ${state}; ${descendantsOf(initPid).length} processes below it`
}
