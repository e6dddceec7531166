/**
 * Boots what a build made under QEMU: for people, with its ports on this machine's loopback and a clean power-off
 * at Ctrl-C; and as a check that needs no eyes: page served, nothing failed, power-off clean.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { PortInUseError, QemuMissingError, VmError } from '@pkg/vm/errors'
import { startQemu, type QemuMachine, type QemuOptions, type VmExit } from '@pkg/vm/qemu'
import type { BuildResult } from './build.ts'
import { SoloError } from './error.ts'
import { ovmf } from './run/firmware.ts'

/** A port of this machine's loopback, and the guest's that it leads to. */
export interface RunForward {
  /** Port of 127.0.0.1; 0 takes any free one. */
  readonly host: number
  /** Port of the guest. */
  readonly guest: number
}

/** Options of {@link startAppliance}. */
export interface StartOptions {
  /** Ports. Default: those of the build. */
  readonly forwards?: readonly RunForward[]
  /** How long the guest may live, in milliseconds. Default: for ever. */
  readonly timeoutMs?: number
  /** Memory in MiB. Default: that of the build. */
  readonly memoryMiB?: number
  /** Called with what the guest prints. */
  readonly onConsole?: (text: string) => void
  /** Boots a disk by its kernel, without firmware and loader. Default: false. */
  readonly direct?: boolean
  /** Kills the guest when it is aborted. */
  readonly signal?: AbortSignal
}

/** What init said when the boot was finished. */
export interface ReadyReport {
  /** Time from the start of init, in milliseconds of the guest. */
  readonly initMs: number
  /** Services that run. */
  readonly running: number
  /** Services that failed. */
  readonly failed: number
  /** Names and reasons of those that failed, as init gives them. */
  readonly failures: string
  /** Resident memory of init, in MiB. */
  readonly residentMiB: number
}

/** What {@link checkAppliance} found. */
export interface CheckReport extends ReadyReport {
  /** `kvm` or `tcg`. */
  readonly accelerator: string
  /** The page that was fetched; undefined when no port is forwarded. */
  readonly url: string | undefined
  /** Time from the start of QEMU until the page was served, in milliseconds. */
  readonly pageMs: number | undefined
  /** Size of the page. */
  readonly pageBytes: number | undefined
  /** Time from pressing the power button until QEMU was gone, in milliseconds. */
  readonly poweroffMs: number
}

/** Options of {@link checkAppliance}. */
export interface CheckOptions extends Omit<StartOptions, 'forwards' | 'timeoutMs'> {
  /** How long the boot may take, until init is ready, in milliseconds. Default: 180 000. */
  readonly bootTimeoutMs?: number
  /** How long after that the page may take, in milliseconds. Default: 30 000. */
  readonly pageTimeoutMs?: number
  /** How long the power-off may take, in milliseconds. Default: 60 000. */
  readonly poweroffTimeoutMs?: number
}

/**
 * The one line that init prints when the boot is finished.
 *
 * @internal
 */
export const readyLine: RegExp =
  /init: ready in (\d+) ms: (\d+) services? running, (\d+) failed(?: \((.*)\))?, resident ([\d.]+) MiB\r?\n/

/**
 * Starts a build under QEMU.
 *
 * @returns the running machine; dispose of it with `await using`
 * @throws SoloError when QEMU is missing or a port is in use, with what to do
 *
 * @example
 * ```ts no-run
 * import { buildAppliance } from '@pkg/distro/build'
 * import { startAppliance } from '@pkg/distro/run'
 *
 * await using vm = await startAppliance(await buildAppliance('examples/hello'))
 * await vm.console.waitFor(/init: ready/)
 * await vm.powerdown()
 * await vm.waitForPoweroff()
 * ```
 */
export async function startAppliance(build: BuildResult, options: StartOptions = {}): Promise<QemuMachine> {
  const { manifest } = build
  if (manifest.architecture !== 'x86_64') {
    throw new SoloError(
      `solo run: starts x86_64 only; ${manifest.name} is built for ${manifest.architecture}`,
    )
  }
  const forwards = options.forwards ?? manifest.forwards
  const bootOptions: QemuOptions = {
    ...(await bootFrom(build, options.direct ?? false)),
    memoryMiB: options.memoryMiB ?? manifest.machine.memoryMiB,
    cpus: manifest.machine.cpus,
    networks: [
      {
        kind: 'user',
        forwards: forwards.map(({ host, guest }) => ({ hostPort: host, guestPort: guest })),
      },
    ],
    timeoutMs: options.timeoutMs ?? Number.POSITIVE_INFINITY,
    ...(options.onConsole === undefined ? {} : { onConsole: options.onConsole }),
    ...(options.signal === undefined ? {} : { signal: options.signal }),
  }
  try {
    return await startQemu(bootOptions)
  } catch (error) {
    throw explain(error)
  }
}

/** What the machine begins with: firmware that looks at the disk, or kernel and initramfs. */
async function bootFrom(
  build: BuildResult,
  direct: boolean,
): Promise<
  Pick<QemuOptions, 'kernel' | 'initrd' | 'append' | 'firmware' | 'disks' | 'onReboot' | 'onPanic'>
> {
  // What the guest writes is gone at its end: the image is the build's.
  const disks = build.disk === undefined ? {} : { disks: [{ name: 'solo', file: build.disk }] }
  if (build.disk !== undefined && !direct) return { ...disks, firmware: await ovmf() }
  const { commandLine } = build.manifest
  return {
    ...disks,
    kernel: build.kernel,
    initrd: build.initramfs,
    // QEMU's own console and its handling of a panic come from @pkg/vm; ours are for other machines.
    append: commandLine.filter((word) => !/^(console|panic)=/.test(word)).join(' '),
  }
}

/**
 * Boots a build, waits for init and for the page of the first forwarded port, powers the machine off by its
 * power button, and reports.
 *
 * @throws SoloError saying what failed, with the console's last lines
 */
export async function checkAppliance(build: BuildResult, options: CheckOptions = {}): Promise<CheckReport> {
  const {
    bootTimeoutMs = 180_000,
    pageTimeoutMs = 30_000,
    poweroffTimeoutMs = poweroffLimitMs,
    ...rest
  } = options
  const { forwards: all, agentPort } = build.manifest
  const pages = all.filter(({ guest }) => guest !== agentPort)
  const forwards = pages.slice(0, 1).map(({ guest }) => ({ host: 0, guest }))
  const startedAt = performance.now()
  const vm = await startAppliance(build, {
    ...rest,
    forwards,
    timeoutMs: bootTimeoutMs + pageTimeoutMs + poweroffTimeoutMs,
  })
  try {
    const ready = parseReady(await vm.console.waitFor(readyLine, { timeoutMs: bootTimeoutMs }))
    if (ready.failed > 0) throw fail(vm, `${ready.failed} services failed: ${ready.failures}`)
    const port = vm.forwards[0]?.hostPort
    const url = port === undefined ? undefined : `http://127.0.0.1:${port}/`
    const page = url === undefined ? undefined : await fetchPage(vm, url, pageTimeoutMs)
    const pageMs = page === undefined ? undefined : Math.round(performance.now() - startedAt)
    const poweroffMs = await powerOff(vm, poweroffTimeoutMs)
    return { ...ready, accelerator: vm.accelerator, url, pageMs, pageBytes: page, poweroffMs }
  } catch (error) {
    throw explain(error)
  } finally {
    await vm.kill()
  }
}

/** What init's line says. */
function parseReady(match: RegExpExecArray): ReadyReport {
  return {
    initMs: Number(match[1]),
    running: Number(match[2]),
    failed: Number(match[3]),
    failures: match[4] ?? '',
    residentMiB: Number(match[5]),
  }
}

/** Size of the page, when it is there; a service may need a moment after it was started. */
async function fetchPage(vm: QemuMachine, url: string, limitMs: number): Promise<number> {
  const until = performance.now() + limitMs
  let ended: VmExit | undefined
  void vm.exited.then((exit) => (ended = exit))
  let last = 'no answer'
  while (performance.now() < until && ended === undefined) {
    try {
      const response = await fetch(url, { signal: AbortSignal.timeout(10_000), redirect: 'manual' })
      const body = await response.arrayBuffer()
      if (response.status === 200) return body.byteLength
      last = `status ${response.status}`
    } catch (error) {
      last = error instanceof Error ? error.message : String(error)
    }
    await sleep(100)
  }
  if (ended?.error !== undefined) throw ended.error
  throw fail(vm, `${url} was not served within ${Math.round(limitMs / 1000)} s: ${last}`)
}

/** Time between two presses: a guest that has begun to stop has said so by then. */
const pressEveryMs = 2000

/** How long a guest may take to power off, in milliseconds, unless another limit is given. */
const poweroffLimitMs = 60_000

/**
 * Powers a running appliance off by its power button, and returns once it has ended by itself.
 *
 * A guest that has not loaded the button's driver yet misses a press, so it is pressed until the guest ends.
 *
 * @param limitMs - how long that may take, in milliseconds
 * @returns the time that it took, in milliseconds
 * @throws SoloError with the console's last lines when it takes longer; it is still running then
 */
export async function powerOff(vm: QemuMachine, limitMs: number = poweroffLimitMs): Promise<number> {
  const startedAt = performance.now()
  while (performance.now() - startedAt < limitMs) {
    await vm.powerdown()
    const ended = await Promise.race([vm.exited, sleep(pressEveryMs, undefined, { ref: false })])
    if (ended === undefined) continue
    await vm.waitForPoweroff()
    return Math.round(performance.now() - startedAt)
  }
  throw fail(vm, `it did not power off within ${limitMs / 1000} s of its power button`)
}

function fail(vm: QemuMachine, message: string): SoloError {
  return new SoloError(`${message}\nThe console's last lines:\n${vm.console.tail().replaceAll(/^/gm, '  ')}`)
}

/** The errors of @pkg/vm with what to do in the words of the `solo` command. */
function explain(error: unknown): unknown {
  if (error instanceof QemuMissingError) {
    return new SoloError(`QEMU (${error.program}) is not installed: apt-get install qemu-system-x86`, {
      cause: error,
    })
  }
  if (error instanceof PortInUseError) {
    const { port } = error
    return new SoloError(
      `port ${port} of 127.0.0.1 is in use by another program (ss -ltnp sport = :${port} names it): stop it, or ` +
        `take another port with --forward HOST:GUEST (host 0: any free one)`,
      { cause: error },
    )
  }
  return error instanceof VmError ? new SoloError(error.message, { cause: error }) : error
}
