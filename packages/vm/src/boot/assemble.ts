/** From a started machine to a guest that can be used: its agent greeted, its shares mounted. */
import { setTimeout as delay } from 'node:timers/promises'
import type { Duplex } from 'node:stream'
import type { Machine, MachineLimits } from '../machine.ts'
import type { QemuMachine } from '../qemu.ts'
import { PROGRAM_ROOT } from '../guest/program-root.ts'
import { bringUp, type ShareKind } from './bring-up.ts'
import type { BootOptions } from './options.ts'
import { watched } from './stall.ts'
import { Vm } from './vm.ts'

/** How long a boot may take: under TCG it takes 10 s on an idle machine, and 30 s on a busy one. */
const BOOT_MS = 60_000

/** How long the agent may be silent unless told otherwise. */
const HANG_MS = 30_000

/** What differs between backends. */
export interface Assembly<M extends Machine> {
  /** Starts the machine. Without `onControl` it is to have no agent. */
  readonly start: (onControl: ((control: Duplex) => void) | undefined) => Promise<M>
  /** How shares come into the guest. */
  readonly shareKind: ShareKind
  /** Path in the guest of a disk. */
  readonly device: (vm: Vm, name: string) => Promise<string>
  /** The machine, if it is one of QEMU's. */
  readonly qemu?: (machine: M) => QemuMachine
  /** What is done when the agent has answered for the first time, before anything is mounted. */
  readonly greeted?: (vm: Vm) => Promise<void>
  /** Rejects when the machine's boot stands still; the signal is aborted when the boot is over. */
  readonly watch?: (machine: M, signal: AbortSignal) => Promise<never>
  /** What is going on, in words, for `onProgress`. Default: the start of the guest. */
  readonly step?: string
  /** Leaves shares alone: for a machine that is to be saved. Default: no. */
  readonly bare?: boolean
}

/** Whether the guest of these options has an agent. */
export function hasAgent({ init, initrd }: BootOptions): boolean {
  return init === undefined && initrd === undefined
}

/** The bounds and listeners among the options. */
export function limitsOf(options: BootOptions): MachineLimits {
  const { timeoutMs, silenceTimeoutMs, consoleLimitChars, onConsole, signal } = options
  return {
    ...(timeoutMs === undefined ? {} : { timeoutMs }),
    ...(silenceTimeoutMs === undefined ? {} : { silenceTimeoutMs }),
    ...(consoleLimitChars === undefined ? {} : { consoleLimitChars }),
    ...(onConsole === undefined ? {} : { onConsole }),
    ...(signal === undefined ? {} : { signal }),
  }
}

/** Starts the machine and waits for its agent. Nothing of it is left when that fails. */
export async function assemble<M extends Machine>(options: BootOptions, assembly: Assembly<M>): Promise<Vm> {
  const { root = 'guest', gdb = false, endMark } = options
  const { hangTimeoutMs = gdb === false ? HANG_MS : Infinity } = options
  const agent = hasAgent(options)
  const early: Duplex[] = []
  let vm: Vm | undefined
  const onControl = (control: Duplex): void => {
    if (vm) vm.attach(control)
    else early.push(control)
  }
  options.onProgress?.(assembly.step ?? 'starting the guest')
  const machine = await assembly.start(agent ? onControl : undefined)
  const server = assembly.qemu?.(machine).gdb
  const bootTimeoutMs = server?.waiting === true ? Infinity : BOOT_MS
  const started = new Vm({
    machine,
    qemu: assembly.qemu?.(machine),
    isPaced: machine.backend === 'uml',
    hasAgent: agent,
    endMark,
    hangTimeoutMs,
    bootTimeoutMs,
    bringUp: (self) => bringUp(self, options, assembly.shareKind),
    device: assembly.device,
    programRoot: root === 'host' ? PROGRAM_ROOT : undefined,
  })
  vm = started
  for (const control of early) vm.attach(control)
  try {
    if (server) options.onGdb?.(server)
    if (!agent) return vm
    const { watch } = assembly
    await watched(vm.hello({ timeoutMs: bootTimeoutMs }), watch && ((signal) => watch(machine, signal)))
    await assembly.greeted?.(vm)
    if (assembly.bare !== true) await bringUp(vm, options, assembly.shareKind)
    return vm
  } catch (error) {
    await vm.kill()
    options.signal?.throwIfAborted()
    throw error
  }
}

/** Asks for a disk's device until the guest has found it. */
export async function waitForDevice(find: () => Promise<string | undefined>, name: string): Promise<string> {
  for (const deadline = performance.now() + DEVICE_MS; ; await delay(20)) {
    const device = await find()
    if (device !== undefined) return device
    if (performance.now() > deadline)
      throw new Error(`the guest did not find the disk ${name} within ${DEVICE_MS / 1000} s`)
  }
}

const DEVICE_MS = 30_000
