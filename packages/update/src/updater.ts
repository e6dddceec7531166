/**
 * The updater: a program of root's that puts releases into the free slot. It has no network. Clients give it documents
 * and the parts of blobs that it asks for, and it believes none of it: what the device is, whom it trusts and what
 * runs it reads from the image's own files and from PID 1's.
 *
 * `bun updater.js [--socket PATH] [--gid N]`. The other options are for machines where things lie elsewhere: the files
 * that it reads, and `--boot-folder` for a boot partition that is mounted already.
 */
import { mkdir } from 'node:fs/promises'
import { dirname } from 'node:path'
import { parseArgs } from 'node:util'
import { IOPRIO_CLASS_IDLE, IOPRIO_WHO_PROCESS } from '@pkg/sys/constants'
import { ioprio_set } from '@pkg/sys/limits'
import { mountBootPartition, openBootFolder, unmountLeftBehind } from './boot-partition.ts'
import type { BootPartition } from './slot.ts'
import { devicePaths } from './updater/device.ts'
import { Installer } from './updater/installer.ts'
import { serve } from './updater/server.ts'
import { UPDATER_SOCKET } from './updater-protocol.ts'

/** Runs the program until a signal ends it. */
export async function runUpdater(args: readonly string[]): Promise<void> {
  const { values } = parseArgs({
    args: [...args],
    options: {
      socket: { type: 'string', default: UPDATER_SOCKET },
      gid: { type: 'string', default: '0' },
      'mount-point': { type: 'string', default: '/run/solo/updater-esp' },
      'stick-mount-point': { type: 'string', default: '/run/solo/updater-stick' },
      'boot-folder': { type: 'string' },
      'boot-state': { type: 'string', default: devicePaths.bootState },
      release: { type: 'string', default: devicePaths.release },
      trust: { type: 'string', default: devicePaths.trust },
      'kept-trust': { type: 'string', default: devicePaths.keptTrust },
    },
  })
  const { socket, gid, trust, release } = values
  if (!/^\d+$/.test(gid)) throw new TypeError(`--gid: expected a number, got ${gid}`)
  // Whatever the machine is there for comes first.
  ioprio_set(IOPRIO_WHO_PROCESS, 0, { class: IOPRIO_CLASS_IDLE, level: 0 })
  const paths = { bootState: values['boot-state'], release, trust, keptTrust: values['kept-trust'] }
  await mkdir(dirname(socket), { recursive: true })
  const { 'mount-point': mountPoint, 'boot-folder': bootFolder } = values
  unmountLeftBehind(mountPoint)
  const openBoot = async (device: string, access: 'read' | 'write'): Promise<BootPartition & Disposable> =>
    bootFolder === undefined
      ? await mountBootPartition({ device, mountPoint, access })
      : openBootFolder(bootFolder)
  const stick = { sysBlock: '/sys/block', mountPoint: values['stick-mount-point'] }
  const installer = new Installer({ paths, stick, openBoot })
  const { promise: stopped, resolve: stop } = Promise.withResolvers<void>()
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => stop())
  await using _ = await serve({ path: socket, gid: Number(gid), installer })
  process.stdout.write(`updater: listening on ${socket}\n`)
  await stopped
}

if (import.meta.main) await runUpdater(process.argv.slice(2))
