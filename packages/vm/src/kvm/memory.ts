/** What was found out about a machine, in a small JSON file: a map from the machine to the answer. */
import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import type { ProbeResult } from '../kvm.ts'

/** The answer for `machine` in `file`, or else that of `ask`, which is then remembered. */
export async function remembered(
  file: string,
  machine: string,
  ask: () => Promise<ProbeResult>,
): Promise<ProbeResult> {
  const known = readAnswers(file)[machine]
  if (known) return known
  const answer = await ask()
  remember(file, machine, answer)
  return answer
}

function readAnswers(file: string): Record<string, ProbeResult> {
  try {
    const parsed: unknown = JSON.parse(readFileSync(file, 'utf8'))
    if (typeof parsed !== 'object' || parsed === null) return {}
    const entries = Object.entries(parsed as Record<string, unknown>)
    return Object.fromEntries(
      entries.filter((entry): entry is [string, ProbeResult] => isProbeResult(entry[1])),
    )
  } catch {
    // Absent or damaged: ask again.
    return {}
  }
}

function isProbeResult(value: unknown): value is ProbeResult {
  return typeof value === 'object' && value !== null && 'works' in value && typeof value.works === 'boolean'
}

/** A cache that cannot be written costs the next run a probe, nothing more. */
function remember(file: string, machine: string, answer: ProbeResult): void {
  const temporary = `${file}.${process.pid}-${crypto.randomUUID()}`
  try {
    mkdirSync(dirname(file), { recursive: true })
    writeFileSync(temporary, `${JSON.stringify({ ...readAnswers(file), [machine]: answer }, undefined, 2)}\n`)
    renameSync(temporary, file)
  } catch {
    rmSync(temporary, { force: true })
  }
}
