/**
 * The frequency of the time stamp counter in translated guests. Linux finds it by older timers, and on a busy host
 * fails now and then; a microvm with ACPI has none of them at all, and its kernel then waits for ever for a first tick.
 * So it is measured here, once for each machine, and told to the kernel (`tsc_early_khz=`).
 */
import { spawn } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { cpus, tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { deferred } from '../host/deferred.ts'
import { writeAtomically } from '../host/files.ts'
import { defaultCacheFolder } from '../kvm.ts'
import { findProgram } from '../host/find-program.ts'
import { guarded } from '../qemu/launch.ts'
import { acceleratorArgument, cpuModel } from '../qemu/models.ts'
import { PM_TIMER_HZ, PM_TIMER_RANGE, SAMPLE_BYTES, tscKernel } from './tsc-kernel.ts'

/** How long samples are taken, in milliseconds: the best two of thousands are a microsecond wrong at most. */
const MEASURE_MS = 250

/** The firmware takes 0.2 s before; more than this is a host in trouble. */
const LIMIT_MS = 15_000

/** Below it is no measurement: 64 samples. */
const LEAST_BYTES = 64 * SAMPLE_BYTES

const asked = new Map<string, Promise<number | undefined>>()

/**
 * The frequency in kHz, as measured by a guest of `qemu` under TCG: half a second, then remembered for the program and
 * the host's processor. Undefined when it cannot be measured: the kernel then has to find out by itself.
 */
export function tscKhz(qemu: string): Promise<number | undefined> {
  const program = findProgram(qemu)
  if (program === undefined) return Promise.resolve(undefined)
  const { size, mtimeMs } = statSync(program)
  const machine = `${program} ${size} ${mtimeMs} | ${cpus()[0]?.model ?? ''}`
  const answer = asked.get(machine) ?? remembered(join(defaultCacheFolder(), 'tsc.json'), machine, program)
  asked.set(machine, answer)
  return answer
}

async function remembered(file: string, machine: string, program: string): Promise<number | undefined> {
  const known = readAnswers(file)[machine]
  if (known !== undefined) return known
  const khz = frequencyKhz(await takeSamples(program))
  if (khz === undefined) return undefined
  try {
    mkdirSync(dirname(file), { recursive: true })
    await writeAtomically(file, JSON.stringify({ ...readAnswers(file), [machine]: khz }))
  } catch {
    // A cache that cannot be written costs the next process a measurement, nothing more.
  }
  return khz
}

function readAnswers(file: string): Record<string, number> {
  try {
    const parsed: unknown = JSON.parse(readFileSync(file, 'utf8'))
    const entries = Object.entries(parsed as Record<string, unknown>)
    return Object.fromEntries(entries.filter((entry): entry is [string, number] => Number(entry[1]) > 0))
  } catch {
    // Absent or damaged.
    return {}
  }
}

async function takeSamples(program: string): Promise<Buffer> {
  const folder = mkdtempSync(join(tmpdir(), 'solo-vm-tsc-'))
  const chunks: Buffer[] = []
  try {
    const kernel = join(folder, 'kernel')
    writeFileSync(kernel, tscKernel())
    const machine = ['-machine', 'q35', '-accel', acceleratorArgument('tcg'), '-cpu', cpuModel('tcg')]
    const devices = ['-no-user-config', '-nodefaults', '-display', 'none', '-m', '32M', '-debugcon', 'stdio']
    const command = guarded(program, [...machine, ...devices, '-kernel', kernel])
    const child = spawn(command.file, command.args, {
      stdio: ['ignore', 'pipe', 'ignore'],
      timeout: LIMIT_MS,
      killSignal: 'SIGKILL',
    })
    const ended = deferred<void>()
    for (const event of ['error', 'close']) child.once(event, () => ended.resolve())
    child.stdout.on('data', (bytes: Buffer) => {
      if (chunks.length === 0) setTimeout(() => child.kill('SIGKILL'), MEASURE_MS)
      chunks.push(bytes)
    })
    await ended.promise
  } catch {
    // No setpriv, no room for the kernel: what starts the guest proper says so.
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
  return Buffer.concat(chunks)
}

interface Sample {
  readonly counter: number
  readonly ticks: number
  /** How long it took, in counts: a host that was busy elsewhere meanwhile makes it worthless. */
  readonly width: number
}

/** The frequency by the samples of {@link tscKernel}: from the sharpest of the first third to that of the last. */
export function frequencyKhz(bytes: Buffer): number | undefined {
  if (bytes.length < LEAST_BYTES) return undefined
  const samples: Sample[] = []
  let [rounds, before] = [0, 0]
  for (let at = 0; at + SAMPLE_BYTES <= bytes.length; at += SAMPLE_BYTES) {
    const [start, timer] = [bytes.readBigUInt64LE(at), bytes.readUInt32LE(at + 8)]
    const width = (bytes.readUInt32LE(at + 12) - Number(start & 0xffff_ffffn)) >>> 0
    if (timer < before) rounds += 1
    before = timer
    samples.push({ counter: Number(start) + width / 2, ticks: rounds * PM_TIMER_RANGE + timer, width })
  }
  const third = Math.floor(samples.length / 3)
  const [first, last] = [sharpest(samples.slice(0, third)), sharpest(samples.slice(-third))]
  const khz = Math.round(((last.counter - first.counter) / (last.ticks - first.ticks)) * (PM_TIMER_HZ / 1000))
  // Neither of no frequency (the timer stands still) nor of one that no processor has.
  return khz > 100_000 && khz < 20_000_000 ? khz : undefined
}

function sharpest(samples: readonly Sample[]): Sample {
  return samples.reduce((best, sample) => (sample.width < best.width ? sample : best))
}
