import { execFile, spawn } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { createConnection, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { ByteReader } from '../src/nbd/byte-reader.ts'
import { DiskLogFullError, rememberingDisk, type RememberingDisk } from '../src/nbd.ts'

const run = promisify(execFile)

let folder: string
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'solo-nbd-test-'))
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

/** What qemu-io says; writeback, as QEMU has it for a guest's disk. */
async function qemuIo(disk: RememberingDisk, ...commands: string[]): Promise<string> {
  const words = commands.flatMap((command) => ['-c', command])
  const args = ['-t', 'writeback', '-f', 'raw', ...words, disk.uri]
  const { stdout, stderr } = await run('qemu-io', args).catch(
    (error: { stdout: string; stderr: string }) => error,
  )
  return stdout + stderr
}

const MiB = 1 << 20

describe('rememberingDisk()', () => {
  test('keeps what qemu-io writes, zeroes and discards, and remembers it in order', async () => {
    await using disk = await rememberingDisk({ sizeBytes: 8 * MiB })
    const said = await qemuIo(
      disk,
      ...['write -P 7 4096 8192', 'flush', 'write -f -P 3 512 512', 'write -z 8192 4096', 'discard 0 512'],
      ...['read -P 3 512 512', 'read -P 7 4096 4096', 'read -P 0 8192 4096', 'read -P 0 0 512'],
    )
    expect(said).not.toMatch(/failed/i)
    const kinds = disk.log.entries.map((entry) =>
      'offset' in entry
        ? `${entry.kind} ${entry.offset}+${entry.length}${entry.fua ? ' fua' : ''}`
        : entry.kind,
    )
    expect(kinds.slice(0, 5)).toEqual([
      ...['write 4096+8192', 'flush', 'write 512+512 fua', 'zero 8192+4096', 'trim 0+512'],
    ])
  })

  test('is what qemu-img converts to and compares with, over a base that it does not change', async () => {
    const base = join(folder, 'base.img')
    writeFileSync(base, Buffer.alloc(3 * MiB + 512, 'base'))
    const image = join(folder, 'image.img')
    await using disk = await rememberingDisk({ base, sizeBytes: 5 * MiB })
    await qemuIo(disk, 'write -P 1 100000 70000', 'write -z 1M 1M', `write -P 2 ${5 * MiB - 1000} 1000`)
    await run('qemu-img', ['convert', '-O', 'raw', disk.uri, image])
    expect(Buffer.compare(readFileSync(image), disk.read(0, 5 * MiB))).toBe(0)
    await disk.writeTo(join(folder, 'written.img'))
    await run('qemu-img', ['compare', join(folder, 'written.img'), disk.uri])
    expect(readFileSync(base).equals(Buffer.alloc(3 * MiB + 512, 'base'))).toBe(true)
  })

  test('takes a file system that mke2fs made and qemu-img copied, and e2fsck finds it clean', async () => {
    const image = join(folder, 'ext4.img')
    await run('mke2fs', ['-q', '-F', '-t', 'ext4', image, '8M'])
    await using disk = await rememberingDisk({ sizeBytes: 8 * MiB })
    await run('qemu-img', ['convert', '-n', '-O', 'raw', image, disk.uri])
    await disk.writeTo(join(folder, 'copy.img'))
    await run('e2fsck', ['-f', '-n', join(folder, 'copy.img')])
  })

  test('costs nothing for its size, and leaves nothing behind', async () => {
    const disk = await rememberingDisk({ sizeBytes: 2 ** 34 })
    expect(statSync(dirname(disk.socketPath)).mode & 0o777).toBe(0o700)
    expect(await qemuIo(disk, 'discard 0 1G', `write -P 9 ${2 ** 34 - 512} 512`)).not.toMatch(/failed/)
    await disk[Symbol.asyncDispose]()
    expect(existsSync(disk.socketPath)).toBe(false)
    expect(() => disk.read(0, 512)).toThrow(/closed/)
  })

  test('is listed by nbd-client, under its name', async () => {
    await using disk = await rememberingDisk({ sizeBytes: MiB })
    const { stdout } = await run('nbd-client', ['-l', '-unix', disk.socketPath])
    expect(stdout).toMatch(/^disk$/m)
  })

  test('is used by several clients at once', async () => {
    await using disk = await rememberingDisk({ sizeBytes: 4 * MiB })
    const clients = [1, 2, 3].map((pattern) => qemuIo(disk, `write -P ${pattern} ${pattern}M 1M`, 'flush'))
    expect((await Promise.all(clients)).join('')).not.toMatch(/failed/)
    expect([1, 2, 3].map((pattern) => disk.read(pattern * MiB, 1)[0])).toEqual([1, 2, 3])
  })

  test('tells who reads its log that the log is full, and lets the guest go on', async () => {
    await using disk = await rememberingDisk({ sizeBytes: MiB, logLimitBytes: 65_536 })
    expect(await qemuIo(disk, 'write -P 1 0 100000', 'read -P 1 0 100000')).not.toMatch(/failed/)
    expect(() => disk.log.entries).toThrow(DiskLogFullError)
  })

  test('with readOnly is announced as such, and refuses writes', async () => {
    await using disk = await rememberingDisk({ sizeBytes: MiB, readOnly: true })
    expect(await qemuIo(disk, 'write 0 512')).toMatch(/read-only|Permission denied|not permitted/i)
    expect(disk.log.entries.filter(({ kind }) => kind === 'write')).toEqual([])
  })

  test('refuses sizes that no disk has, and a base that is not there', async () => {
    await expect(rememberingDisk({})).rejects.toThrow(TypeError)
    await expect(rememberingDisk({ sizeBytes: 1_000 })).rejects.toThrow(/multiple of 512/)
    await expect(rememberingDisk({ sizeBytes: 2 ** 41 })).rejects.toThrow(RangeError)
    await expect(rememberingDisk({ base: '/nonexistent' })).rejects.toThrow(/ENOENT/)
  })

  test('removes its sockets when its process is killed', async () => {
    const script = `
      const { rememberingDisk } = await import(${JSON.stringify(join(import.meta.dirname, '../src/nbd.ts'))})
      const disk = await rememberingDisk({ sizeBytes: 512 })
      process.stdout.write(disk.socketPath)
      setInterval(() => {}, 1000)`
    const child = spawn('bun', ['-e', script], { stdio: ['ignore', 'pipe', 'inherit'] })
    const path = await new Promise<string>((resolve) => {
      child.stdout.once('data', (bytes: Buffer) => resolve(bytes.toString()))
    })
    expect(existsSync(path)).toBe(true)
    child.kill('SIGKILL')
    await expect.poll(() => existsSync(dirname(path))).toBe(false)
  })
})

test('disk, crash states and network run under Node as well', async () => {
  const entry = join(import.meta.dirname, 'host-parts-under-node.ts')
  const bundle = join(folder, 'host-parts.mjs')
  await run('bun', ['build', '--target=node', `--outfile=${bundle}`, entry])
  const { stdout } = await run('node', [bundle])
  expect(JSON.parse(stdout)).toEqual({ kinds: ['write', 'flush'], states: 4, heard: 1 })
})

describe('DiskFaults', () => {
  test('fail: only matching requests, from the nth on, with the error that was asked for', async () => {
    await using disk = await rememberingDisk({ sizeBytes: MiB })
    using fault = disk.faults.add({
      ...{ kind: 'fail', error: 'ENOSPC', operations: ['write'], after: 1, times: 1 },
      range: { offset: 4_096, length: 512 },
    })
    const said = await qemuIo(disk, 'write 0 512', 'write 4096 512', 'write 4096 512', 'write 4096 512')
    expect(said.match(/failed: No space left on device/g)).toHaveLength(1)
    expect(fault.met).toBe(1)
    expect(disk.log.entries.filter(({ kind }) => kind === 'write')).toHaveLength(3)
  })

  test('readOnly: writes fail and reads do not; remove() heals', async () => {
    await using disk = await rememberingDisk({ sizeBytes: MiB })
    const fault = disk.faults.readOnly()
    expect(await qemuIo(disk, 'read 0 512', 'write 0 512')).toMatch(/write failed: Operation not permitted/)
    fault.remove()
    expect(await qemuIo(disk, 'write 0 512')).not.toMatch(/failed/)
  })

  test('slow: adds its latency, and shares its bandwidth out', async () => {
    await using disk = await rememberingDisk({ sizeBytes: MiB })
    using slow = disk.faults.add({
      kind: 'slow',
      latencyMs: 100,
      bytesPerSecond: 500_000,
      operations: ['write'],
    })
    const startMs = performance.now()
    await qemuIo(disk, 'write 0 100000')
    expect(performance.now() - startMs).toBeGreaterThanOrEqual(300)
    expect(slow.met).toBe(1)
  })

  test('hang: holds what matches until it is removed, while the rest goes on', async () => {
    await using disk = await rememberingDisk({ sizeBytes: MiB })
    const hang = disk.faults.add({ kind: 'hang', operations: ['flush'] })
    const hanging = qemuIo(disk, 'write -P 5 0 512', 'flush')
    await hang.struck
    // qemu-io flushes when it closes, and so a second one hangs at its end, after its write.
    const other = qemuIo(disk, 'read -P 5 0 512', 'write 512 512')
    await expect.poll(() => disk.log.entries.length).toBe(2)
    expect(disk.log.entries.some(({ kind }) => kind === 'flush')).toBe(false)
    hang.remove()
    expect(`${await hanging}${await other}`).not.toMatch(/failed/)
    const flush = disk.log.entries.find(({ kind }) => kind === 'flush')
    // What came while it hung is not covered by it.
    expect(flush?.issuedIndex).toBe(1)
  })

  test('drop breaks the connection without an answer, and unplug() keeps clients out until plug()', async () => {
    await using disk = await rememberingDisk({ sizeBytes: MiB })
    using dropping = disk.faults.add({ kind: 'drop', operations: ['write'], times: 1 })
    expect(await qemuIo(disk, 'write 0 512')).toMatch(/failed: Input\/output error/)
    expect(dropping.met).toBe(1)
    disk.unplug()
    expect(await qemuIo(disk, 'read 0 512')).toMatch(/can't open|Failed to/i)
    disk.plug()
    expect(await qemuIo(disk, 'read 0 512')).not.toMatch(/failed/)
  })

  test('tear lets some sectors through, and then there is silence until clear()', async () => {
    await using disk = await rememberingDisk({ sizeBytes: MiB })
    disk.faults.add({ kind: 'tear', sectors: 3 })
    const torn = qemuIo(disk, 'write -P 8 0 4096')
    await expect.poll(() => disk.faults.silent).toBe(true)
    expect([...disk.read(0, 4_096)].filter((byte) => byte === 8)).toHaveLength(3 * 512)
    expect(disk.log.entries).toMatchObject([{ kind: 'write', length: 1_536, tornFromBytes: 4_096 }])
    disk.faults.clear()
    expect(await torn).toMatch(/failed/)
    expect(await qemuIo(disk, 'read -P 8 0 1536', 'read -P 0 1536 2560')).not.toMatch(/failed/)
  })

  test('refuses a fault that could never strike', async () => {
    await using disk = await rememberingDisk({ sizeBytes: MiB })
    expect(() => disk.faults.add({ kind: 'explode' } as never)).toThrow(TypeError)
    expect(() => disk.faults.add({ kind: 'hang', times: 0 })).toThrow(RangeError)
    expect(() => disk.faults.add({ kind: 'hang', operations: ['seek' as never] })).toThrow(TypeError)
    expect(() => disk.faults.add({ kind: 'tear', sectors: -1 })).toThrow(RangeError)
  })
})

describe('the NBD server', () => {
  /** A client by hand, past the handshake. */
  async function connected(disk: RememberingDisk, clientFlags = 3): Promise<[Socket, ByteReader]> {
    const socket = createConnection({ path: disk.socketPath })
    socket.on('error', () => {})
    const reader = new ByteReader(socket)
    const hello = await reader.read(18)
    expect(hello?.toString('latin1', 0, 16)).toBe('NBDMAGICIHAVEOPT')
    const flags = Buffer.alloc(4)
    flags.writeUInt32BE(clientFlags)
    socket.write(flags)
    return [socket, reader]
  }

  function option(type: number, data: Buffer = Buffer.alloc(0), length: number = data.length): Buffer {
    const header = Buffer.alloc(16)
    header.write('IHAVEOPT', 'latin1')
    header.writeUInt32BE(type, 8)
    header.writeUInt32BE(length, 12)
    return Buffer.concat([header, data])
  }

  function request(command: number, offset: bigint, length: number, flags = 0): Buffer {
    const bytes = Buffer.alloc(28)
    bytes.writeUInt32BE(0x25609513, 0)
    bytes.writeUInt16BE(flags, 4)
    bytes.writeUInt16BE(command, 6)
    bytes.writeBigUInt64BE(offset, 16)
    bytes.writeUInt32BE(length, 24)
    return bytes
  }

  test('answers unknown options with ERR_UNSUP, unknown names with ERR_UNKNOWN, nonsense with ERR_INVALID', async () => {
    await using disk = await rememberingDisk({ sizeBytes: MiB })
    const [socket, reader] = await connected(disk)
    const replyTo = async (bytes: Buffer): Promise<string | undefined> => {
      socket.write(bytes)
      return (await reader.read(20))?.readUInt32BE(12).toString(16)
    }
    expect(await replyTo(option(99))).toBe('80000001')
    expect(await replyTo(option(7, Buffer.from('\0\0\0\u0003abc\0\0', 'latin1')))).toBe('80000006')
    expect(await replyTo(option(7, Buffer.from('\0\0\u00FF\u00FFabc\0\0', 'latin1')))).toBe('80000003')
    expect(await replyTo(option(2))).toBe('1')
    expect(await reader.read(1)).toBeUndefined()
  })

  test('refuses requests beyond the disk, of unknown kinds and with unknown flags, and goes on', async () => {
    await using disk = await rememberingDisk({ sizeBytes: MiB })
    const [socket, reader] = await connected(disk)
    socket.write(option(1))
    expect((await reader.read(10))?.readBigUInt64BE(0)).toBe(BigInt(MiB))
    const errorOf = async (bytes: Buffer): Promise<number | undefined> => {
      socket.write(bytes)
      return (await reader.read(16))?.readUInt32BE(4)
    }
    expect(await errorOf(request(0, BigInt(MiB), 1))).toBe(22)
    expect(await errorOf(request(0, 2n ** 64n - 1n, 512))).toBe(22)
    expect(await errorOf(Buffer.concat([request(1, BigInt(MiB), 512), Buffer.alloc(512)]))).toBe(28)
    expect(await errorOf(request(0, 0n, (32 << 20) + 1))).toBe(75)
    expect(await errorOf(request(17, 0n, 1))).toBe(22)
    expect(await errorOf(request(3, 0n, 0, 0x8000))).toBe(22)
    expect(await errorOf(request(3, 0n, 0))).toBe(0)
    socket.destroy()
  })

  test.each([
    ['an unknown client flag', 0x40, Buffer.alloc(0)],
    ['an option of a gigabyte', 3, option(99, Buffer.alloc(0), 1 << 30)],
    ['what is no option', 3, Buffer.from('GET / HTTP/1.1\r\nHost: disk\r\n\r\n')],
  ])('closes the connection of a client that sends %s, and says why', async (_, clientFlags, bytes) => {
    await using disk = await rememberingDisk({ sizeBytes: MiB })
    const [socket, reader] = await connected(disk, clientFlags)
    socket.write(bytes)
    expect(await reader.read(1).catch(() => undefined)).toBeUndefined()
    expect(disk.lastError).toMatchObject({ name: 'NbdProtocolError' })
  })
})
