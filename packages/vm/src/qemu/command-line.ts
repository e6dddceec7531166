/** The arguments of QEMU for a machine: a pure function, so that a test can read them. */
import type { Accelerator } from '../kvm.ts'
import { deviceArguments, escapeCommas, type SocketUse } from './devices.ts'
import { acceleratorArgument, cpuModel } from './models.ts'
import type { ResolvedOptions } from './options.ts'

/** How QEMU is to be started. */
export interface CommandLine {
  /** Everything that follows the program's name. */
  args: string[]
  /** What the guest sees of its machine: a snapshot goes on only where this is the same. */
  hardware: string[]
  /** The sockets that QEMU inherits, from file descriptor 3 on. */
  sockets: SocketUse[]
}

/** What {@link qemuCommandLine} is told besides the options. */
export interface LateFacts {
  /** The memory of a snapshot, to be mapped copy-on-write. */
  readonly memoryFile?: string | undefined
  /** The frequency of the guest's time stamp counter, in kHz, for a kernel that may not find it out. */
  readonly tscKhz?: number | undefined
}

/**
 * The whole command line.
 *
 * The machine protocol is on stdin and stdout and the console on an inherited socket: no socket file, no
 * port, nothing that two guests could fight for or that a crash could leave behind. The CPUs stand still
 * (`-S`) until we have seen that all is well and say `cont`.
 *
 * @param late - what is known only when the machine is started
 */
export function qemuCommandLine(
  options: ResolvedOptions,
  accelerator: Accelerator,
  late: LateFacts = {},
): CommandLine {
  const { model } = options
  const { memoryFile, tscKhz } = late
  const devices = deviceArguments(options)
  const clock = tscKhz === undefined ? '' : `tsc_early_khz=${tscKhz}`
  const words = [`console=${model.serial}`, 'panic=-1', clock, options.append]
  const append = words.filter((word) => word !== '').join(' ')
  const memory = memoryBackend(options, memoryFile)
  const machine = memory === undefined ? model.machine : `${model.machine},memory-backend=memory`
  const processor = ['-cpu', cpuModel(accelerator, model.architecture), '-smp', String(options.cpus)]
  const hardware = ['-machine', machine, ...processor, '-m', `${options.memoryMiB}M`]
  const rows: (readonly string[])[] = [
    ['-no-user-config', '-nodefaults', '-display', 'none', '-S'],
    options.onReboot === 'end' ? ['-no-reboot'] : [],
    ['-accel', acceleratorArgument(accelerator)],
    memory === undefined ? [] : ['-object', JSON.stringify(memory)],
    hardware,
    ['-chardev', 'stdio,id=qmp,signal=off', '-mon', 'chardev=qmp,mode=control'],
    model.virtio === 'device' ? ['-global', 'virtio-mmio.force-legacy=false'] : [],
    devices.behind,
    devices.hardware,
    gdbArguments(options),
    firmwareArguments(options),
    options.kernel === undefined ? [] : ['-kernel', options.kernel, '-append', append],
    options.initrd === undefined ? [] : ['-initrd', options.initrd],
    memoryFile === undefined ? [] : ['-incoming', 'defer'],
    options.qemuArguments,
  ]
  // A card's address is part of the saved state, and random.
  const devicesSeen = devices.hardware.map((word) => word.replace(/,mac=[^,]*/, ''))
  return {
    args: rows.flat(),
    hardware: [accelerator, ...hardware, ...devicesSeen, ...options.qemuArguments],
    sockets: devices.sockets,
  }
}

/** An object of its own for the memory: of a guest that is to be saved, and of one that goes on from a snapshot. */
function memoryBackend(
  { saveable, memoryMiB }: ResolvedOptions,
  memoryFile: string | undefined,
): Record<string, unknown> | undefined {
  const common = { id: 'memory', size: memoryMiB * 1_048_576 }
  if (memoryFile !== undefined)
    return { 'qom-type': 'memory-backend-file', ...common, 'mem-path': memoryFile, share: false }
  return saveable ? { 'qom-type': 'memory-backend-memfd', ...common, share: true } : undefined
}

/** The first flash memory has the code, the second the variables (QEMU hw/i386/pc_sysfw.c). */
function firmwareArguments({ firmware }: ResolvedOptions): string[] {
  if (firmware === undefined) return []
  const flash = (unit: number, file: string, access: string): string[] => [
    '-drive',
    `if=pflash,format=raw,unit=${unit},${access},file=${escapeCommas(file)}`,
  ]
  // A snapshot is a temporary file without a name, which ends with QEMU.
  const variables = flash(1, firmware.variables, firmware.writable === true ? 'snapshot=off' : 'snapshot=on')
  return [...flash(0, firmware.code, 'readonly=on'), ...variables]
}

function gdbArguments({ gdb }: ResolvedOptions): string[] {
  if (gdb === false) return []
  return ['-gdb', `tcp:127.0.0.1:${typeof gdb === 'number' ? gdb : 0}`]
}
