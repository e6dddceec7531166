/**
 * Saves a running guest, and goes on from it later in a new QEMU: within a quarter of a second, whatever its memory
 * holds, and many times at once.
 *
 * The guest that is saved has its memory in a memfd. QEMU's migration leaves out shared memory (`x-ignore-shared`) and
 * writes the devices alone; the memory is copied, so that the guest can go on. A restored guest maps that copy
 * privately: pages are read when they are used, copied when they are written, and shared by all guests until then.
 *
 * @see https://www.qemu.org/docs/master/system/vm-templating.html
 */
import { readdir, readlink, rm } from 'node:fs/promises'
import { createServer, type Socket } from 'node:net'
import { join } from 'node:path'
import { deferred } from '../host/deferred.ts'
import { workFolder } from '../process-machine/work-folder.ts'
import { QmpError, type QmpClient, type QmpEvent } from '../qmp.ts'
import { QemuGuest } from './guest.ts'
import {
  copySparse,
  createFolder,
  SNAPSHOT_FORMAT,
  SnapshotError,
  snapshotFiles,
  writeDescription,
  writeState,
} from './snapshot-folder.ts'
import type { QemuMachine } from './types.ts'

/** The devices' state is some megabytes: more time than this is a host in trouble. */
const MIGRATION_MS = 60_000

/** No bound: QEMU's own is 128 MiB a second, for the sake of a network. */
const BANDWIDTH_BYTES = 2 ** 40

/**
 * Saves a guest into a new folder; if there is one of that name, it stays as it is. The guest stands still meanwhile
 * (some tenths of a second for each GiB of its memory), and then goes on.
 *
 * The guest must have been started with `saveable: true`. It must have no 9p share mounted and no disk plugged in: QEMU
 * does not save the one, and the other would be missing later.
 *
 * @throws TypeError the machine was not started for this
 * @throws SnapshotError QEMU refuses, or the folder cannot be written; nothing is left of it then
 *
 * @example
 * ```ts no-run
 * import { saveSnapshot, startQemu } from '@pkg/vm/qemu'
 *
 * const options = { kernel: 'vmlinuz', initrd: 'initramfs.cpio' }
 * await using first = await startQemu({ ...options, saveable: true })
 * await first.console.waitFor(/ready/)
 * await saveSnapshot(first, '/tmp/ready')
 * await using second = await startQemu({ ...options, restore: '/tmp/ready' })
 * second.console.write('hello\n')
 * ```
 */
export async function saveSnapshot(machine: QemuMachine, folder: string): Promise<void> {
  if (!(machine instanceof QemuGuest)) throw new TypeError('saveSnapshot: not a machine of startQemu')
  if (!machine.options.saveable)
    throw new TypeError('saveSnapshot: the machine was not started with `saveable: true`')
  const plugged = machine.disks.filter((disk) => disk.plugged).map(({ name }) => name)
  if (plugged.length > 0)
    throw new SnapshotError(folder, `the disks ${plugged.join(', ')} are plugged in: unplug() them first`)
  const { running } = await machine.qmp.queryStatus()
  await machine.pause()
  try {
    await createFolder(folder, (temporary) => fill(machine, temporary))
  } catch (cause) {
    if (cause instanceof SnapshotError) throw cause
    throw new SnapshotError(folder, `was not saved: ${(cause as Error).message}`, cause)
  } finally {
    if (running) await machine.resume()
  }
}

async function fill(machine: QemuGuest, folder: string): Promise<void> {
  const files = snapshotFiles(folder)
  await setCapabilities(machine.qmp)
  await machine.qmp.execute('migrate-set-parameters', { 'max-bandwidth': BANDWIDTH_BYTES })
  await migrateInto(machine.qmp, files.state)
  const memory = await memoryOf(machine.pid)
  await copySparse(memory, files.memory, machine.options.memoryMiB * 1_048_576)
  const { hardware, version } = machine
  await writeDescription(folder, { format: SNAPSHOT_FORMAT, qemu: version, hardware })
}

async function setCapabilities(qmp: QmpClient): Promise<void> {
  const names = ['x-ignore-shared', 'events']
  const capabilities = names.map((capability) => ({ capability, state: true }))
  await qmp.execute('migrate-set-capabilities', { capabilities })
}

/**
 * QEMU 7.2 writes to no file by itself, and `exec:cat` would say that all is well before cat is done: it sends to a
 * socket, whose end is the end.
 */
async function migrateInto(qmp: QmpClient, path: string): Promise<void> {
  // A Unix socket's path has at most 107 characters: the snapshot's own folder may be too long.
  const folder = workFolder()
  const socketPath = join(folder, 'socket')
  const server = createServer()
  const connected = deferred<Socket>()
  server.once('connection', connected.resolve)
  try {
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject)
      server.listen(socketPath, resolve)
    })
    const done = migrationEnd(qmp)
    // A refusal (a mounted share) comes as the command's own error.
    await qmp.execute('migrate', { uri: `unix:${socketPath}` })
    const socket = await Promise.race([connected.promise, done.then(() => connected.promise)])
    await Promise.all([writeState(path, socket), done])
  } finally {
    server.close()
    await rm(folder, { recursive: true, force: true })
  }
}

/** Resolves when the migration is completed. */
async function migrationEnd(qmp: QmpClient): Promise<void> {
  const where = ({ status }: QmpEvent['data']): boolean => status === 'completed' || status === 'failed'
  const { data } = await qmp.nextEvent('MIGRATION', { where, timeoutMs: MIGRATION_MS })
  if (data['status'] === 'completed') return
  const answer = (await qmp.execute('query-migrate')) as { 'error-desc'?: string }
  throw new QmpError('GenericError', `migrate: ${answer['error-desc'] ?? 'failed'}`)
}

/** The memfd of the guest's memory, as a path that can be opened from here. */
async function memoryOf(pid: number): Promise<string> {
  const folder = `/proc/${pid}/fd`
  for (const name of await readdir(folder)) {
    const target = await readlink(join(folder, name)).catch(() => '')
    // QEMU names it after the object (backends/hostmem-memfd.c).
    if (target.startsWith('/memfd:memory-backend-memfd')) return join(folder, name)
  }
  throw new Error(`QEMU (process ${pid}) has no memfd with the guest's memory`)
}

/** Reads the devices' state from QEMU's inherited descriptor `fd`. The guest then stands where it was saved. */
export async function loadState(qmp: QmpClient, fd: number): Promise<void> {
  await setCapabilities(qmp)
  const done = migrationEnd(qmp)
  await qmp.execute('migrate-incoming', { uri: `fd:${fd}` })
  await done
}
