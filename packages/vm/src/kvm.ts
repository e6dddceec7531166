/**
 * Can this machine run guests under KVM? `/dev/kvm` may exist and not work (in containers and nested
 * machines QEMU aborts, or the guest never starts), so a tiny guest is really booted, once per machine.
 */
import { spawn } from 'node:child_process'
import { accessSync, constants, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { homedir, release } from 'node:os'
import { join } from 'node:path'
import { QemuMissingError, VmError } from './errors.ts'
import { deferred } from './host/deferred.ts'
import { bootSector, PROBE_EXIT_STATUS, PROBE_MARK } from './kvm/boot-sector.ts'
import { remembered } from './kvm/memory.ts'
import { findProgram } from './host/find-program.ts'
import { guarded } from './qemu/launch.ts'
import { acceleratorArgument, cpuModel } from './qemu/models.ts'

/** What runs a guest's instructions: the host's CPU (`kvm`), or QEMU's translator (`tcg`). */
export type Accelerator = 'kvm' | 'tcg'

/** Options of {@link accelerator} and {@link probe}. */
export interface AcceleratorOptions {
  /** Path or name of the QEMU program. Default `qemu-system-x86_64`. */
  qemu?: string
  /** How long the tiny guest may take, in milliseconds. Default 5,000; it takes about 200 where it works. */
  timeoutMs?: number
  /** Folder of the remembered answer. Default `${SOLO_CACHE_DIR:-${XDG_CACHE_HOME:-~/.cache}/solo}/vm`. */
  cacheFolder?: string
}

/** What a tiny guest showed about an accelerator. */
export interface ProbeResult {
  /** Whether it booted and printed its mark. */
  works: boolean
  /** Why not, in QEMU's words where it had some; empty when it works. */
  reason: string
}

/**
 * `'kvm'` where a guest really boots under it, else `'tcg'`. The answer is remembered per kernel
 * release, QEMU version and CPU model; the first call on a machine takes up to `timeoutMs`.
 * `SOLO_ACCELERATOR=kvm` or `tcg` in the environment is taken without a question.
 *
 * @throws {@link QemuMissingError}; {@link VmError} for another word in `SOLO_ACCELERATOR`
 *
 * @example
 * ```ts no-run
 * import { accelerator } from '@pkg/vm/kvm'
 *
 * process.stdout.write(`guests run under ${await accelerator()}\n`)
 * ```
 */
export async function accelerator(options: AcceleratorOptions = {}): Promise<Accelerator> {
  const forced = process.env['SOLO_ACCELERATOR']
  if (forced === 'kvm' || forced === 'tcg') return forced
  if (forced !== undefined && forced !== '')
    throw new VmError(`SOLO_ACCELERATOR: ${forced} is not 'kvm' or 'tcg'`)
  const program = options.qemu ?? 'qemu-system-x86_64'
  if (findProgram(program) === undefined) throw new QemuMissingError(program)
  // Asked anew each time: the device comes and goes with groups and container settings.
  if (!mayOpen('/dev/kvm')) return 'tcg'
  const folder = options.cacheFolder ?? defaultCacheFolder()
  const file = join(folder, 'accelerator.json')
  const ask = (): Promise<ProbeResult> => probe('kvm', { ...options, cacheFolder: folder })
  const { works } = await remembered(file, await machineKey(program), ask)
  return works ? 'kvm' : 'tcg'
}

/**
 * Boots a guest of one sector under `accelerator`: it takes timer interrupts, enters long mode and
 * prints a mark.
 *
 * @throws {@link QemuMissingError}
 */
export async function probe(tried: Accelerator, options: AcceleratorOptions = {}): Promise<ProbeResult> {
  const program = findProgram(options.qemu ?? 'qemu-system-x86_64')
  if (program === undefined) throw new QemuMissingError(options.qemu ?? 'qemu-system-x86_64')
  const folder = options.cacheFolder ?? defaultCacheFolder()
  const image = join(folder, `probe-${process.pid}-${crypto.randomUUID()}.img`)
  try {
    mkdirSync(folder, { recursive: true })
    writeFileSync(image, bootSector())
  } catch (cause) {
    rmSync(image, { force: true })
    return { works: false, reason: `the tiny guest could not be written: ${(cause as Error).message}` }
  }
  try {
    const machine = ['-machine', 'q35', '-accel', acceleratorArgument(tried), '-cpu', cpuModel(tried)]
    const args = [
      ['-no-user-config', '-nodefaults', '-display', 'none', '-no-reboot', '-nic', 'none'],
      [...machine, '-smp', '2', '-m', '64M'],
      ['-drive', `file=${image.replaceAll(',', ',,')},format=raw,if=none,id=disk,readonly=on`],
      ['-device', 'virtio-blk-pci,drive=disk', '-debugcon', 'stdio'],
      ['-device', 'isa-debug-exit,iobase=0xf4,iosize=0x04'],
    ].flat()
    return judge(await run(program, args, options.timeoutMs ?? 5_000), options.timeoutMs ?? 5_000)
  } finally {
    rmSync(image, { force: true })
  }
}

interface Ran {
  code: number | null
  signal: string | null
  stdout: string
  stderr: string
}

/** SIGKILL at its time: a QEMU that hangs inside /dev/kvm does not hear SIGTERM. */
async function run(program: string, args: string[], timeoutMs: number): Promise<Ran> {
  const command = guarded(program, args)
  const child = spawn(command.file, command.args, {
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: timeoutMs,
    killSignal: 'SIGKILL',
  })
  const output = { stdout: '', stderr: '' }
  child.stdout.on('data', (bytes: Uint8Array) => (output.stdout += new TextDecoder().decode(bytes)))
  child.stderr.on('data', (bytes: Uint8Array) => (output.stderr += new TextDecoder().decode(bytes)))
  const ended = deferred<Ran>()
  child.once('error', (cause) =>
    ended.resolve({ code: null, signal: null, stdout: '', stderr: cause.message }),
  )
  child.once('close', (code, signal) => ended.resolve({ code, signal, ...output }))
  return ended.promise
}

function judge({ code, signal, stdout, stderr }: Ran, timeoutMs: number): ProbeResult {
  if (code === PROBE_EXIT_STATUS && stdout.includes(PROBE_MARK)) return { works: true, reason: '' }
  const words = stderr.trim().split('\n')[0] ?? ''
  if (words !== '') return { works: false, reason: words }
  if (signal === 'SIGKILL')
    return { works: false, reason: `the guest did not start within ${timeoutMs / 1000} s` }
  return { works: false, reason: `QEMU ended with ${signal ?? `exit status ${code}`} and no mark` }
}

/** The folder for what this package remembers. */
export function defaultCacheFolder(): string {
  const solo = process.env['SOLO_CACHE_DIR']
  if (solo !== undefined && solo !== '') return join(solo, 'vm')
  const cache = process.env['XDG_CACHE_HOME']
  return join(cache !== undefined && cache !== '' ? cache : join(homedir(), '.cache'), 'solo', 'vm')
}

/** Versions by file, size and time of change: asking one costs a process, 20 ms. */
const versions = new Map<string, Promise<Ran>>()

async function machineKey(program: string): Promise<string> {
  const file = findProgram(program) ?? program
  const { size, mtimeMs } = statSync(file)
  const key = `${file} ${size} ${mtimeMs}`
  const asked = versions.get(key) ?? run(file, ['--version'], 5_000)
  versions.set(key, asked)
  const { stdout } = await asked
  const model = /^model name\s*: (.*)$/m.exec(readText('/proc/cpuinfo'))?.[1] ?? 'unknown CPU'
  return [release(), stdout.split('\n')[0] ?? '', model].join(' | ')
}

function mayOpen(path: string): boolean {
  try {
    accessSync(path, constants.R_OK | constants.W_OK)
    return true
  } catch {
    return false
  }
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return ''
  }
}
