/**
 * Boots a kernel under QEMU: one call, one object to talk to it, and nothing left behind, however it
 * ends.
 */
import { open, type FileHandle } from 'node:fs/promises'
import { VmError } from './errors.ts'
import { deferred } from './host/deferred.ts'
import { accelerator as findAccelerator, type Accelerator } from './kvm.ts'
import { qemuCommandLine, type CommandLine } from './qemu/command-line.ts'
import { FIRST_SOCKET_FD } from './qemu/devices.ts'
import { checkDisk, type CheckedDisk } from './qemu/disks.ts'
import { startError } from './qemu/failure.ts'
import { gdbPort } from './qemu/gdb.ts'
import { QemuGuest } from './qemu/guest.ts'
import { formatOf } from './qemu/kernel-format.ts'
import { launch, type Launched } from './qemu/launch.ts'
import { resolveOptions, type ResolvedOptions } from './qemu/options.ts'
import { assertPortFree, boundForwards } from './qemu/ports.ts'
import { assertSameHardware, readDescription, SnapshotError, snapshotFiles } from './qemu/snapshot-folder.ts'
import { loadState } from './qemu/snapshot.ts'
import type { QemuMachine, QemuOptions } from './qemu/types.ts'
import { tscKhz } from './tcg/tsc.ts'

export { saveSnapshot } from './qemu/snapshot.ts'
export { SnapshotError } from './qemu/snapshot-folder.ts'
export type {
  Disk,
  DiskFault,
  DiskOptions,
  DiskThrottle,
  ExitReason,
  Firmware,
  Forward,
  GdbServer,
  MachineName,
  NetworkCard,
  NetworkOptions,
  PrivateCard,
  QemuMachine,
  QemuOptions,
  ShareOptions,
  UserNetwork,
  VmExit,
} from './qemu/types.ts'

/** QEMU opens its monitor before it loads anything: 0.1 s idle; the rest is for machines that swap. */
const START_MS = 30_000

/**
 * Starts a guest, and resolves when QEMU runs it (the kernel has not printed anything yet: wait for
 * what you need with `vm.console.waitFor`).
 *
 * QEMU dies with us: when the thread that called `startQemu` ends, even by SIGKILL, so does the guest. It
 * leaves no files, sockets or processes. Linux hosts.
 *
 * @throws TypeError, RangeError an option that can never work, before anything is started
 * @throws QemuMissingError, PortInUseError, QemuStartError, UnsupportedError (no 9p in this QEMU), SnapshotError,
 *   VmError (a file that cannot be read)
 *
 * @example
 * ```ts no-run
 * import { startQemu } from '@pkg/vm/qemu'
 *
 * await using vm = await startQemu({
 *   kernel: '/boot/vmlinuz',
 *   initrd: 'initramfs.cpio',
 *   networks: [{ kind: 'user', forwards: [{ hostPort: 0, guestPort: 80 }] }],
 *   timeoutMs: 60_000,
 * })
 * await vm.console.waitFor(/init: ready/)
 * const page = await fetch(`http://127.0.0.1:${vm.forwards[0]?.hostPort}/`)
 * await vm.powerdown()
 * await vm.waitForPoweroff()
 * ```
 */
export async function startQemu(options: QemuOptions): Promise<QemuMachine> {
  const resolved = resolveOptions(options)
  const disks = checkDisks(resolved)
  resolved.signal?.throwIfAborted()
  for (const forward of resolved.cards.flatMap(({ forwards }) => forwards))
    if (forward.hostPort !== 0) await assertPortFree(forward)
  const accelerator = await chooseAccelerator(resolved)
  const restored = await openSnapshot(resolved)
  let line: CommandLine
  let launched: Launched
  try {
    const khz = accelerator === 'tcg' && isLinux(resolved) ? await tscKhz(resolved.qemu) : undefined
    line = qemuCommandLine(resolved, accelerator, { memoryFile: restored?.memory, tscKhz: khz })
    if (restored) assertSameHardware(restored.folder, restored.hardware, line.hardware)
    resolved.signal?.throwIfAborted()
    launched = await launch(resolved.qemu, line.args, {
      socketCount: line.sockets.length,
      ...restored?.inherited,
    })
  } finally {
    await restored?.state.close()
  }
  const guest = new QemuGuest(launched, resolved, accelerator, line)
  try {
    guest.version = await answered(guest)
    if (restored) await restore(guest, restored, FIRST_SOCKET_FD + line.sockets.length)
    await connect(guest, resolved, line, launched)
    for (const disk of disks) await guest.addDisk(disk)
    await guest.begin()
  } catch (error) {
    const { stderr, code, signal, reason } = await guest.kill()
    resolved.signal?.throwIfAborted()
    if (reason !== 'crashed') throw error
    throw restored && guest.version !== ''
      ? new SnapshotError(restored.folder, `QEMU cannot go on from it: ${stderr.trim()}`)
      : startError(stderr, code, signal)
  }
  return guest
}

function checkDisks({ disks = [] }: ResolvedOptions): CheckedDisk[] {
  const checked: CheckedDisk[] = []
  for (const [index, disk] of disks.entries())
    checked.push(
      checkDisk(
        disk,
        checked.map(({ name }) => name),
        `disks[${index}]`,
      ),
    )
  return checked
}

/** Whether the kernel is told of its time stamp counter; other kernels, and other machines, have no use for it. */
function isLinux({ model, kernel }: ResolvedOptions): boolean {
  return model.architecture === 'x86_64' && kernel !== undefined && formatOf(kernel) !== 'multiboot'
}

/** KVM runs guests of the host's own processor only; what was found out about it holds for x86-64. */
async function chooseAccelerator({ accelerator, model, qemu }: ResolvedOptions): Promise<Accelerator> {
  if (accelerator !== 'auto') return accelerator
  return model.architecture === 'x86_64' ? findAccelerator({ qemu }) : 'tcg'
}

/** A snapshot that is to be gone on from. */
interface OpenSnapshot {
  folder: string
  qemu: string
  hardware: readonly string[]
  memory: string
  state: FileHandle
  inherited: { file: number }
}

async function openSnapshot({ restore: folder }: ResolvedOptions): Promise<OpenSnapshot | undefined> {
  if (folder === undefined) return undefined
  const { qemu, hardware } = await readDescription(folder)
  const files = snapshotFiles(folder)
  const state = await open(files.state, 'r').catch((cause: unknown) => {
    throw new SnapshotError(folder, `cannot be read: ${(cause as Error).message}`, cause)
  })
  return { folder, qemu, hardware, memory: files.memory, state, inherited: { file: state.fd } }
}

async function restore(guest: QemuGuest, { folder, qemu }: OpenSnapshot, stateFd: number): Promise<void> {
  if (guest.version !== qemu)
    throw new SnapshotError(folder, `was saved by QEMU ${qemu}; this is QEMU ${guest.version}`)
  await loadState(guest.qmp, stateFd)
}

/** Gives each inherited socket to whom it is for, and finds out which ports QEMU took. */
async function connect(
  guest: QemuGuest,
  { onControl, cards, gdb }: ResolvedOptions,
  { sockets: uses }: CommandLine,
  { sockets }: Launched,
): Promise<void> {
  for (const [index, use] of uses.entries()) {
    const socket = sockets[index]
    if (!socket || use === 'console') continue
    if (use === 'control') onControl?.(socket)
    else cards[use.card]?.network?.connect(socket)
  }
  if (guest.forwards.length > 0) {
    const usernet = await guest.qmp.humanMonitor('info usernet')
    for (const [index, card] of guest.networks.entries())
      card.forwards = boundForwards(card.forwards, usernet, `net${index}`)
  }
  if (gdb !== false) guest.gdb = { port: await gdbPort(guest.qmp), waiting: gdb === 'wait' }
}

async function answered(guest: QemuGuest): Promise<string> {
  const late = deferred<never>()
  const expire = (): void => late.reject(new VmError(`QEMU did not answer within ${START_MS / 1000} s`))
  const timer = setTimeout(expire, START_MS)
  try {
    return await Promise.race([guest.qmp.ready, late.promise])
  } finally {
    clearTimeout(timer)
  }
}
