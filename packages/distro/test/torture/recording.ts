// A machine on a disk that remembers: what it says on its console becomes marks in the disk's log, so that each state
// tells what had been promised before the power was cut.
import { copyFileSync } from 'node:fs'
import { join } from 'node:path'
import { rememberingDisk, type RememberingDisk } from '@pkg/vm/nbd'
import { type QemuMachine, type QemuOptions, startQemu } from '@pkg/vm/qemu'
import { powerOff } from '../../src/run.ts'
import { CPUS } from '../support/disk-machine.ts'
import { keptContent } from './appliance.ts'
import type { KeptFile } from './user-files.ts'

/** A boot under TCG on a machine that has other things to do. */
export const BOOT_MS = 240_000

/** A boot, an update in it, and the boot that tries it. */
const SESSION_MS = 1_200_000

/** Where the device's agent listens. */
export const AGENT_PORT = 8443

/** UEFI as Debian's package ovmf has it. */
export const FIRMWARE = {
  code: '/usr/share/OVMF/OVMF_CODE_4M.fd',
  variables: '/usr/share/OVMF/OVMF_VARS_4M.fd',
} as const

/** A line of the console that says something is safe, and the file that is. */
const PROMISES: readonly { line: RegExp; file(match: RegExpExecArray): KeptFile }[] = [
  {
    line: /kept (\d+)$/,
    file: ([, number]) => ({ path: `lib/keeper/${number}`, content: keptContent(Number(number)) }),
  },
  {
    line: /machine id: ([0-9a-f]{32})/,
    file: ([, id]) => ({ path: 'lib/solo/machine-id', content: `${id}\n` }),
  },
]

/** What a service said of the files that it found. */
export const FOUND: RegExp = /found (\d+) up to (\d+), damaged: (.*)\n/

/** What a {@link RecordedMachine} is made of. */
export interface RecordedMachineOptions {
  /** For the firmware's variables. */
  readonly folder: string
  /** The disk's image, which is not changed. */
  readonly base: string
  readonly sizeBytes: number
  /** Ends the machine. */
  readonly signal: AbortSignal | undefined
}

/** A disk with its firmware's variables, and what was promised while it was in use. */
export class RecordedMachine implements AsyncDisposable {
  readonly disk: RememberingDisk
  /** By mark. */
  readonly kept: Map<string, KeptFile> = new Map()
  readonly #variables: string
  readonly #signal: AbortSignal | undefined
  #line = ''

  private constructor(disk: RememberingDisk, variables: string, signal: AbortSignal | undefined) {
    this.disk = disk
    this.#variables = variables
    this.#signal = signal
  }

  /** Makes one that has never been on. */
  static async make({ folder, base, sizeBytes, signal }: RecordedMachineOptions): Promise<RecordedMachine> {
    const variables = join(folder, 'variables.fd')
    copyFileSync(FIRMWARE.variables, variables)
    return new RecordedMachine(await rememberingDisk({ base, sizeBytes }), variables, signal)
  }

  /** Boots it, and switches it off in order when `use` is done. The mark `name` is where it begins. */
  async boot(name: string, use: (vm: QemuMachine) => Promise<void>): Promise<void> {
    this.disk.mark(name)
    await using vm = await startFirmware(this.#variables, {
      disks: [{ name: 'main', nbd: this.disk.uri }],
      networks: [{ kind: 'user', forwards: [{ hostPort: 0, guestPort: AGENT_PORT }] }],
      onConsole: (text) => this.#hear(text),
      timeoutMs: SESSION_MS,
      ...(this.#signal === undefined ? {} : { signal: this.#signal }),
    })
    await use(vm)
    await powerOff(vm)
  }

  /** A copy of the firmware's variables as they are now, at `path`. */
  copyVariables(path: string): void {
    copyFileSync(this.#variables, path)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.disk[Symbol.asyncDispose]()
  }

  #hear(text: string): void {
    const lines = (this.#line + text).split(/\r?\n/)
    this.#line = lines.pop() ?? ''
    for (const line of lines) {
      for (const { line: pattern, file } of PROMISES) {
        const match = pattern.exec(line)
        if (match === null || this.kept.has(match[0])) continue
        // First what it means: the mark must never be there without it.
        this.kept.set(match[0], file(match))
        this.disk.mark(match[0])
      }
    }
  }
}

/** A machine that boots from a disk by UEFI firmware with these variables, and goes on after a reset or a panic. */
export async function startFirmware(
  variables: string,
  options: Omit<QemuOptions, 'firmware' | 'kernel' | 'initrd' | 'append'>,
): Promise<QemuMachine> {
  return await startQemu({
    firmware: { code: FIRMWARE.code, variables, writable: true },
    networks: [{ kind: 'user' }],
    cpus: CPUS,
    onReboot: 'restart',
    onPanic: 'ignore',
    timeoutMs: 2 * BOOT_MS,
    ...options,
  })
}
