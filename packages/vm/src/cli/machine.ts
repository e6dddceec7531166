// The machine as the command needs it, made of a guest that `boot` has started.
import type { GuestProcess, GuestSpawnOptions } from '../agent/process.ts'
import type { CommandVm } from './run.ts'

/** What the command takes of a booted guest. */
export interface BootedVm {
  readonly backend: string
  /** What runs QEMU's guest. */
  readonly accelerator?: string | undefined
  readonly forwards?: readonly { readonly hostPort: number; readonly guestPort: number }[]
  /** Path in the guest of the disk `name`. */
  device(name: string): string | Promise<string>
  spawn(file: string, args?: readonly string[], options?: GuestSpawnOptions): Promise<GuestProcess>
  /** Syncs, says that all is done, and switches off; resolves when nothing of the guest is left. */
  poweroff(): Promise<unknown>
  kill(): Promise<unknown>
}

/** Finds the paths of the disks `diskNames`, and gives the guest as the command knows it. */
export async function commandVm(vm: BootedVm, diskNames: readonly string[] = []): Promise<CommandVm> {
  const disks: Record<string, string> = {}
  for (const name of diskNames) disks[name] = await vm.device(name)
  return {
    describe: () => (vm.accelerator === undefined ? vm.backend : `${vm.backend} (${vm.accelerator})`),
    disks,
    forwards: vm.forwards ?? [],
    spawn: (file, args, options) => vm.spawn(file, args, options),
    async finish() {
      await vm.poweroff()
    },
    kill: () => vm.kill(),
  }
}
