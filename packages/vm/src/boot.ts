/** Boots a guest: in namespaces, in User Mode Linux or in QEMU, with one call and one object to talk to it. */
import { chooseBackend } from './boot/choose.ts'
import type { BootOptions } from './boot/options.ts'
import { checkNames, checkOptions } from './boot/check.ts'
import { bootNamespace } from './boot/start-namespace.ts'
import { bootQemu } from './boot/start-qemu.ts'
import { bootUml } from './boot/start-uml.ts'
import type { Vm } from './boot/vm.ts'
import { endedBy } from './host/program.ts'

export { objectionsTo } from './boot/choose.ts'
export type { BootOptions, KernelChoice, Need, Prepared, Share } from './boot/options.ts'
export { Vm, type RebootOptions } from './boot/vm.ts'

const STARTERS = { namespace: bootNamespace, uml: bootUml, qemu: bootQemu } as const

/**
 * Boots a guest, and resolves when its agent answers (without an agent: when it runs).
 *
 * The first boot of a kind fetches what it needs (Debian's kernel through the host's apt, without root) and keeps it
 * in `${SOLO_CACHE_DIR:-~/.cache/solo}`. The guest dies with us, even by SIGKILL, and leaves nothing behind.
 *
 * @throws TypeError, RangeError an option that can never work; {@link UnsupportedError} no backend can do what the
 *   options ask for: nothing was started then; `ProvisionError` a kernel cannot be had; and every error of a guest
 *
 * @example
 * ```ts no-run
 * import { boot } from '@pkg/vm'
 *
 * await using vm = await boot({ backend: 'qemu', memoryMiB: 256 })
 * const release = await vm.run(async () => (await import('node:os')).release())
 * console.log(release)
 * await vm.poweroff()
 * ```
 */
export async function boot(options: BootOptions = {}): Promise<Vm> {
  checkNames(options)
  checkOptions(options)
  options.signal?.throwIfAborted()
  return await endedBy(options.signal, async () => STARTERS[await chooseBackend(options)](options))
}
