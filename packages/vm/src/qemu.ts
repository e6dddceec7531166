/**
 * Boots a kernel under QEMU: one call, one object to talk to it, and nothing left behind, however it
 * ends.
 */
import { accelerator as findAccelerator } from './kvm.ts'
import { VmError } from './errors.ts'
import { qemuArguments } from './qemu/command-line.ts'
import { startError } from './qemu/failure.ts'
import { QemuGuest } from './qemu/guest.ts'
import { launch } from './qemu/launch.ts'
import { resolveOptions } from './qemu/options.ts'
import { assertPortFree, boundForwards } from './qemu/ports.ts'
import type { BootOptions, Vm } from './qemu/types.ts'

export type { BootOptions, ExitReason, Forward, Vm, VmExit } from './qemu/types.ts'

/** QEMU opens its monitor before it loads anything: 0.1 s idle; the rest is for machines that swap. */
const START_MS = 30_000

/**
 * Starts a guest, and resolves when QEMU runs it (the kernel has not printed anything yet: wait for
 * what you need with `vm.console.waitFor`).
 *
 * QEMU dies with us: when the thread that called `boot` ends, even by SIGKILL, so does the guest. It
 * leaves no files, sockets or processes. x86-64 guests on Linux hosts.
 *
 * @throws TypeError, RangeError an option that can never work, before anything is started
 * @throws QemuMissingError, PortInUseError, QemuStartError, VmError (a file that cannot be read)
 *
 * @example
 * ```ts no-run
 * import { boot } from '@pkg/vm/qemu'
 *
 * await using vm = await boot({
 *   kernel: '/boot/vmlinuz',
 *   initrd: 'initramfs.cpio',
 *   forwards: [{ hostPort: 0, guestPort: 80 }],
 *   timeoutMs: 60_000,
 * })
 * await vm.console.waitFor(/init: ready/)
 * const page = await fetch(`http://127.0.0.1:${vm.forwards[0]?.hostPort}/`)
 * await vm.powerdown()
 * await vm.waitForPoweroff()
 * ```
 */
export async function boot(options: BootOptions): Promise<Vm> {
  const resolved = resolveOptions(options)
  resolved.signal?.throwIfAborted()
  for (const { hostPort } of resolved.forwards) if (hostPort !== 0) await assertPortFree(hostPort)
  const accelerator =
    resolved.accelerator === 'auto' ? await findAccelerator({ qemu: resolved.qemu }) : resolved.accelerator
  resolved.signal?.throwIfAborted()
  const launched = await launch(resolved.qemu, qemuArguments(resolved, accelerator))
  const guest = new QemuGuest(launched, resolved, accelerator)
  try {
    await answered(guest)
    if (resolved.forwards.length > 0)
      guest.forwards = boundForwards(resolved.forwards, await guest.qmp.humanMonitor('info usernet'))
    await guest.begin()
  } catch (error) {
    const { stderr, code, signal, reason } = await guest.kill()
    resolved.signal?.throwIfAborted()
    throw reason === 'crashed' ? startError(stderr, code, signal) : error
  }
  return guest
}

async function answered(guest: QemuGuest): Promise<void> {
  const late = Promise.withResolvers<never>()
  const expire = (): void => late.reject(new VmError(`QEMU did not answer within ${START_MS / 1000} s`))
  const timer = setTimeout(expire, START_MS)
  try {
    await Promise.race([guest.qmp.ready, late.promise])
  } finally {
    clearTimeout(timer)
  }
}
