// A crash state, booted by real firmware: does the machine do what the judge said?
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { readyLine } from '../../src/run.ts'
import { copyVariables, type Life } from './life.ts'
import { BOOT_MS, FOUND, startFirmware } from './recording.ts'
import type { JudgedState } from './survey.ts'

/** What was seen. */
export interface RealBoot {
  /** From power-on until PID 1 was ready, in milliseconds. */
  readonly readyMs: number
  /** What is not as the judge said; undefined when all is. */
  readonly problem: string | undefined
}

/**
 * Boots a state, and compares. The disk is in `folder` meanwhile. As soon as the machine has said what it is asked, it
 * is switched off: it is there for nothing else.
 *
 * @param signal - ends it: it rejects then, and the boot has shown nothing
 */
export async function bootState(
  life: Life,
  judged: JudgedState,
  folder: string,
  signal?: AbortSignal,
): Promise<RealBoot> {
  const { state, verdict, phase } = judged
  const disk = join(folder, `boot-${state.hash}.img`)
  const variables = join(folder, `boot-${state.hash}.fd`)
  try {
    await state.writeTo(disk)
    copyVariables(life, phase, variables)
    const startMs = performance.now()
    await using vm = await startFirmware(variables, {
      disks: [{ name: 'main', file: disk, writable: true }],
      ...(signal === undefined ? {} : { signal }),
    })
    const [, , , failed] = await vm.console.waitFor(readyLine, { timeoutMs: BOOT_MS })
    const readyMs = performance.now() - startMs
    const found = await vm.console.waitFor(FOUND, { timeoutMs: BOOT_MS })
    const blessed = await vm.console.waitFor(/boot blessed: (solo[ab])\+|boot not blessed: .*/, {
      timeoutMs: BOOT_MS,
    })
    await vm.kill()
    const problem = [
      failed === '0' ? '' : `${failed} services failed`,
      filesProblem(life, judged, found),
      slotProblem(verdict.entry, blessed[1]),
    ].find((text) => text !== '')
    return { readyMs, problem }
  } catch (error) {
    signal?.throwIfAborted()
    const text = error instanceof Error ? error.message : String(error)
    return { readyMs: Number.NaN, problem: text }
  } finally {
    rmSync(disk, { force: true })
    rmSync(variables, { force: true })
  }
}

function filesProblem(life: Life, { state }: JudgedState, [, , last, damaged]: RegExpExecArray): string {
  if (damaged !== 'none') return `damaged files: ${damaged}`
  const promised = state.marks.flatMap((mark) => {
    const number = /^.*kept (\d+)$/.exec(mark)?.[1]
    return number !== undefined && life.past.kept.has(mark) ? [Number(number)] : []
  })
  const most = Math.max(0, ...promised)
  return Number(last) >= most ? '' : `file ${most} was promised, and ${last} is the last`
}

function slotProblem(entry: string | undefined, slot: string | undefined): string {
  if (slot === undefined) return 'the boot was not blessed'
  return entry?.startsWith(`${slot}+`) === true ? '' : `the judge said ${entry}, the machine took ${slot}`
}
