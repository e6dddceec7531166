/**
 * A guest in User Mode Linux: a kernel of its own that is an ordinary program of the host's. It needs no privilege and
 * no virtualization, boots in about a second, and can panic, hang, load modules and set its clock.
 *
 * Its root, and its shares, are the host's folders (hostfs); its disks are files.
 */
import { ProcessMachine } from './process-machine/process-machine.ts'
import { startUmlLife, UmlLife } from './uml/life.ts'
import { planUml } from './uml/options.ts'
import type { UmlOptions } from './uml/types.ts'

export { UmlCrashedError, UmlMissingError } from './uml/errors.ts'
export { umlSupport, type UmlSupport } from './uml/support.ts'
export type { UmlDisk, UmlOptions } from './uml/types.ts'

/** A User Mode Linux guest. */
export type UmlMachine = ProcessMachine

/**
 * Starts a guest, and resolves when its process runs (the kernel has not printed anything yet).
 *
 * As with every kernel, an init that exits is a panic, whatever its status; `init` of the end tells it. The machine
 * has one processor and no power button: `powerdown` rejects with `UnsupportedError`.
 *
 * The guest ends with us, even by SIGKILL, and leaves no process; its files are gone when it has ended.
 *
 * @throws TypeError, RangeError an option that can never work
 * @throws {@link UmlMissingError} the kernel is not installed
 *
 * @example
 * ```ts no-run
 * import { startUml } from '@pkg/vm/uml'
 *
 * await using guest = await startUml({ folder: '/srv/root', program: '/sbin/init', disks: [{ sizeBytes: 64 << 20 }] })
 * await guest.console.waitFor(/login:/)
 * ```
 */
export async function startUml(options: UmlOptions): Promise<UmlMachine> {
  const plan = await planUml(options)
  const { onControl } = options
  return ProcessMachine.start(
    {
      backend: 'uml',
      hasKernel: true,
      start: (onConsole) => startUmlLife(plan, { onConsole, onControl }),
      describe: (life) => (life instanceof UmlLife ? life.describe() : ''),
    },
    options,
  )
}
