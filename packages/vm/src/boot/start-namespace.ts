/** Guests in namespaces, as `boot` starts them. */
import { guestImage } from '../guest-image.ts'
import { hostArchitecture } from '../host/system.ts'
import { startNamespace } from '../namespace.ts'
import { assemble, hasAgent, limitsOf } from './assemble.ts'
import { agentCommand, folderOf, initCommand, initProgram, resolvedShares } from './command.ts'
import type { BootOptions } from './options.ts'
import type { Vm } from './vm.ts'

/** Boots a guest in namespaces. @throws as `boot` */
export async function bootNamespace(options: BootOptions): Promise<Vm> {
  const { init, shares = [], root } = options
  const image = await guestImage({
    architecture: hostArchitecture(),
    backend: 'namespace',
    ...(init === undefined ? {} : { programs: [initProgram(init[0])] }),
    ...(options.onProgress === undefined ? {} : { onNote: options.onProgress }),
  })
  const [program, ...args] = initCommand(init) ?? agentCommand('fd:3')
  return assemble(options, {
    start: (onControl) =>
      startNamespace({
        ...limitsOf(options),
        folder: folderOf(image),
        program,
        args,
        shares: resolvedShares(shares),
        hostRoot: root === 'host',
        onReboot: hasAgent(options) ? 'restart' : 'end',
        ...(onControl === undefined ? {} : { onControl }),
      }),
    shareKind: 'mounted',
    device: (_vm, name) => Promise.reject(new TypeError(`device: there is no disk ${name}`)),
  })
}
