/** The guest's files, for the host. */
import { MS_BIND, MS_NODEV, MS_NOSUID, MS_RDONLY } from '@pkg/sys/constants'
import { mount, mount_bind, mount_remount } from '@pkg/sys/mount'
import { createReadStream, createWriteStream, mkdirSync } from 'node:fs'
import { chmod, mkdir, rm } from 'node:fs/promises'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import type { Connection } from '../agent/connection.ts'
import type { ShareMount } from '../agent/protocol.ts'
import { packTree, unpackTree } from '../agent/tree.ts'

interface Place {
  readonly path: string
  readonly stream: number
  readonly mode?: number | undefined
}

/** The calls about files, by name. */
export const fileCalls = {
  readFile: ({ path, stream }: Place, connection: Connection): Promise<void> =>
    pipeline(createReadStream(path), connection.writer(stream)),

  async writeFile({ path, stream, mode }: Place, connection: Connection): Promise<void> {
    await pipeline(connection.reader(stream), createWriteStream(path))
    if (mode !== undefined) await chmod(path, mode)
  },

  pack: ({ path, stream }: Place, connection: Connection): Promise<void> =>
    pipeline(Readable.from(packTree(path)), connection.writer(stream)),

  async unpack({ path, stream }: Place, connection: Connection): Promise<void> {
    const reader = connection.reader(stream)
    try {
      await unpackTree(reader, path, true)
    } finally {
      reader.destroy()
    }
  },

  async mkdir({ path, mode }: Place): Promise<void> {
    await mkdir(path, { recursive: true })
    if (mode !== undefined) await chmod(path, mode)
  },

  remove: ({ path }: Place): Promise<void> => rm(path, { recursive: true, force: true }),

  mountShare({ type, source, target, writable = false }: ShareMount): void {
    mkdirSync(target, { recursive: true })
    const readOnly = writable ? 0 : MS_RDONLY
    const flags = MS_NOSUID | MS_NODEV | readOnly
    // 512 KiB a message is the most that QEMU's 9p over virtio takes without a warning.
    if (type === '9p') return mount(source, target, '9p', flags, 'trans=virtio,version=9p2000.L,msize=524288')
    if (type === 'hostfs') return mount('none', target, 'hostfs', flags, source)
    mount_bind(source, target, true)
    if (!writable) mount_remount(target, MS_BIND | MS_RDONLY)
  },
}
