// solo run
import { buildCommand, type Command, type CommandContext } from '@stricli/core'
import type { QemuMachine } from '@pkg/vm/qemu'
import { buildAppliance, type BuildResult } from '../build.ts'
import { SoloError } from '../error.ts'
import {
  checkAppliance,
  type CheckReport,
  powerOff,
  readyLine,
  type RunForward,
  startAppliance,
} from '../run.ts'
import { untilListening } from '../run/listening.ts'
import { consoleProgress, print, printRaw, tell } from './output.ts'
import { parseCount, parseFolder, parseForward } from './parse.ts'

interface Flags {
  readonly out?: string
  readonly updateLock: boolean
  readonly forward?: readonly RunForward[]
  readonly memory?: number
  readonly direct: boolean
  readonly check: boolean
  readonly json: boolean
}

/** Builds an appliance and boots it, for people or as a check. */
export const run: Command<CommandContext> = buildCommand<Flags, [folder?: string]>({
  docs: {
    brief: 'Build the appliance of a folder and boot it under QEMU',
    fullDescription:
      'Builds the disk of the appliance of DIR, boots it under QEMU with its ports forwarded to 127.0.0.1, and\n' +
      'shows its console. What it writes on the disk is gone when it ends. Ctrl-C presses the power button; a\n' +
      'second Ctrl-C ends QEMU at once. With --check: boots, fetches the page of the first port, powers off, and\n' +
      'says what it found.',
  },
  parameters: {
    positional: {
      kind: 'tuple',
      parameters: [
        { brief: 'Folder with solo.config.ts', placeholder: 'DIR', parse: String, optional: true },
      ],
    },
    flags: {
      out: {
        kind: 'parsed',
        parse: parseFolder,
        brief: 'Folder for the build (default: DIR/build)',
        optional: true,
      },
      updateLock: {
        kind: 'boolean',
        brief: 'Take the newest packages and pin them in solo.lock',
        withNegated: false,
      },
      forward: {
        kind: 'parsed',
        parse: parseForward,
        variadic: true,
        optional: true,
        placeholder: 'HOST:GUEST',
        brief: 'Ports to forward instead of those of the configuration; host 0 takes any free one',
      },
      memory: {
        kind: 'parsed',
        parse: parseCount,
        brief: 'Memory in MiB',
        placeholder: 'MIB',
        optional: true,
      },
      direct: {
        kind: 'boolean',
        brief: 'Boot the disk by its kernel, without firmware and boot loader',
        withNegated: false,
      },
      check: { kind: 'boolean', brief: 'Boot, fetch the page, power off, report', withNegated: false },
      json: { kind: 'boolean', brief: 'With --check: print the report as JSON', withNegated: false },
    },
  },
  async func(flags, folder = '.') {
    const result = await buildAppliance(folder, {
      format: 'disk',
      updateLock: flags.updateLock,
      progress: consoleProgress(),
      ...(flags.out === undefined ? {} : { out: flags.out }),
    })
    if (flags.check) await check(result, flags)
    else await watch(result, flags)
  },
})

async function check(result: BuildResult, { memory, direct, json }: Flags): Promise<void> {
  const progress = consoleProgress()
  progress.step('check')
  const report = await checkAppliance(result, {
    direct,
    ...(memory === undefined ? {} : { memoryMiB: memory }),
  })
  progress.done(`${result.manifest.name} booted, answered and powered off`)
  if (json) print(JSON.stringify(report))
  else for (const line of reportLines(report)) print(line)
}

function reportLines(report: CheckReport): string[] {
  const page = report.url === undefined ? [] : [`page     ${report.url} 200, ${report.pageBytes} bytes`]
  const time =
    report.pageMs === undefined ? '' : `, page ${(report.pageMs / 1000).toFixed(1)} s after the start of QEMU`
  return [
    ...page,
    `boot     init ready in ${report.initMs} ms${time} (${report.accelerator})`,
    `services ${report.running} running, ${report.failed} failed`,
    `memory   init (PID 1) has ${report.residentMiB} MiB resident`,
    `poweroff clean, ${(report.poweroffMs / 1000).toFixed(1)} s`,
  ]
}

/** Keeps the appliance running until it, or the user, ends it; a guest that restarts is started again. */
async function watch(result: BuildResult, flags: Flags): Promise<void> {
  for (;;) {
    const exit = await watchOnce(result, flags)
    if (exit.reason === 'poweroff') return
    if (exit.reason === 'killed') throw new SoloError('the guest was killed')
    if (exit.reason !== 'reboot') throw exit.error ?? new SoloError(`the guest ended: ${exit.reason}`)
    tell('the guest restarts')
  }
}

async function watchOnce(result: BuildResult, flags: Flags): Promise<Awaited<QemuMachine['exited']>> {
  const vm = await startAppliance(result, {
    direct: flags.direct,
    onConsole: (text) => printRaw(withoutEscapes(text)),
    ...(flags.forward === undefined ? {} : { forwards: flags.forward }),
    ...(flags.memory === undefined ? {} : { memoryMiB: flags.memory }),
  })
  const { agentPort } = result.manifest
  const addresses = vm.forwards
    .map(
      ({ hostPort, guestPort }) => `${guestPort === agentPort ? 'https' : 'http'}://127.0.0.1:${hostPort}/`,
    )
    .join(' ')
  const answers = addresses === '' ? '' : ` ${addresses} will answer;`
  tell(`booting ${result.manifest.name} (${vm.accelerator});${answers} Ctrl-C powers it off`)
  const agent = vm.forwards.find(({ guestPort }) => guestPort === agentPort)
  if (agent !== undefined) tell(`its agent: solo status 127.0.0.1:${agent.hostPort}`)
  void announce(vm, addresses)
  let signalCount = 0
  const onSignal = (): void => {
    signalCount += 1
    if (signalCount > 1) void vm.kill()
    else {
      tell('\npowering off; Ctrl-C again ends it at once')
      powerOff(vm).catch((error: unknown) => {
        if (signalCount === 1) tell(error instanceof Error ? error.message : String(error))
        void vm.kill()
      })
    }
  }
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const
  for (const signal of signals) process.on(signal, onSignal)
  try {
    return await vm.exited
  } finally {
    for (const signal of signals) process.off(signal, onSignal)
    await vm.kill()
  }
}

/** How long the first port may take to be listened to after init is ready; then the address is printed all the same. */
const listenLimitMs = 30_000

/** Prints the addresses once a browser that opens the first one finds the service there. */
async function announce(vm: QemuMachine, addresses: string): Promise<void> {
  try {
    await vm.console.waitFor(readyLine, { timeoutMs: Number.POSITIVE_INFINITY })
  } catch {
    // The guest has ended, which is told where its end is awaited.
    return
  }
  const port = vm.forwards[0]?.hostPort
  if (port !== undefined) await untilListening(port, listenLimitMs)
  print(addresses === '' ? 'ready' : `ready: ${addresses}`)
}

/** The firmware clears the screen; what the terminal shows above the console shall stay. ECMA-48, 5.4. */
function withoutEscapes(text: string): string {
  // oxlint-disable-next-line no-control-regex
  return text.replaceAll(/\u001B(?:\[[0-?]*[ -/]*[@-~]|[@-Z\\^_c])/g, '')
}
