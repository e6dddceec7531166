/** Boots the guest that a test file wants, with its worker loaded in it where that can be had beforehand. */
import { createHash } from 'node:crypto'
import type { BootOptions, Prepared, Share } from '../boot/options.ts'
import { coverProject, diskEnvironment } from './guest-setup.ts'
import type { GuestPoolOptions, MachineDefinition } from './options.ts'
import type { StartedProgram } from './runtime.ts'
import {
  preparePid1Worker,
  prepareWarmWorker,
  VmTransport,
  warmKey,
  type WorkerGuest,
} from './vm-transport.ts'

/** `boot`, as far as the pool needs it. */
export type BootGuest = (options: BootOptions) => Promise<WorkerGuest>

/** Boots `machine` for workers with this program. */
export async function bootGuest(
  boot: BootGuest,
  machine: MachineDefinition,
  program: StartedProgram,
  { shareProject = false, onConsole }: Pick<GuestPoolOptions, 'shareProject' | 'onConsole'>,
): Promise<VmTransport> {
  const {
    runAs = 'root',
    guest: _guest,
    blockedTimeoutMs: _blocked,
    unsupported: _unsupported,
    snapshot,
    ...options
  } = machine
  const prepare = runAs === 'pid1' ? preparePid1Worker : prepareWarmWorker
  const project: Share[] = shareProject ? [{ host: program.folder, guest: program.folder }] : []
  const key = warmKey(program)
  const prepared: Prepared<WorkerGuest> = {
    key: createHash('sha256')
      .update(JSON.stringify(['vitest', runAs, key]))
      .digest('hex'),
    prepare: (vm) => prepare(vm, program),
  }
  const vm = await boot({
    // A file takes as long as its tests; those have limits of their own, and a guest that hangs is noticed.
    timeoutMs: Infinity,
    ...options,
    ...(snapshot === true ? { snapshot: prepared } : {}),
    ...(onConsole === undefined ? {} : { onConsole }),
    shares: [...(options.shares ?? []), ...project],
  })
  try {
    // After each restore: a saved guest has neither shares nor disks.
    if (shareProject) await coverProject(vm, program.folder)
    const env = await diskEnvironment(vm, machine.disks ?? [])
    if (snapshot !== true && runAs === 'root') return new VmTransport(vm, env)
    if (snapshot !== true) await preparePid1Worker(vm, program)
    return new VmTransport(vm, env, key)
  } catch (error) {
    await vm[Symbol.asyncDispose]()
    throw error
  }
}
