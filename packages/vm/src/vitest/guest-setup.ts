/** What a booted guest is told and given before its workers: the names of its disks, the project's folder. */
import type { DiskOptions } from '../qemu/types.ts'
import type { WorkerGuest } from './vm-transport.ts'

/** The environment variables that name the disks: `disk0` is in `SOLO_DISK0`, as it is for programs of `solo vm`. */
export async function diskEnvironment(
  guest: Pick<WorkerGuest, 'device'>,
  disks: readonly DiskOptions[],
): Promise<Record<string, string>> {
  const env: Record<string, string> = {}
  for (const [index, { name = `disk${index}` }] of disks.entries())
    env[`SOLO_${name.toUpperCase().replaceAll('-', '_')}`] = await guest.device(name)
  return env
}

/**
 * Lets the guest change the project's folder, which it sees read-only, without the host's: modules and packages come
 * to the paths that they have on the host.
 *
 * @throws Error the guest's kernel refuses it
 */
export async function coverProject(guest: Pick<WorkerGuest, 'runWith'>, folder: string): Promise<void> {
  try {
    await guest.runWith({ pid1: false }, layOver, folder)
  } catch (error) {
    const { message } = error as Error
    throw new Error(`shareProject: the guest cannot keep changes of ${folder} for itself: ${message}`, {
      cause: error,
    })
  }
}

/** Runs in the guest. */
async function layOver(folder: string): Promise<void> {
  const { accessSync, constants, mkdirSync } = await import('node:fs')
  const { mount } = await import('@pkg/sys/mount')
  try {
    accessSync(folder, constants.W_OK)
    // A copy, or a share of the machine's own that may be written to.
    return
  } catch {}
  // A tmpfs of its own: the guest's root may be an overlay, which cannot be the upper layer of another.
  const changes = '/run/solo-project'
  mkdirSync(changes, { recursive: true })
  mount('tmpfs', changes, 'tmpfs', 0, 'mode=0755')
  for (const name of ['upper', 'work']) mkdirSync(`${changes}/${name}`)
  const lower = folder.replaceAll(/[\\:,]/g, String.raw`\$&`)
  const layers = `lowerdir=${lower},upperdir=${changes}/upper,workdir=${changes}/work`
  try {
    // What an overlay may use in a user namespace, since Linux 5.11.
    mount('overlay', folder, 'overlay', 0, `${layers},userxattr`)
  } catch {
    mount('overlay', folder, 'overlay', 0, layers)
  }
}
