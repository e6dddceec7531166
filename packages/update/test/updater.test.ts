import { existsSync, readdirSync, readFileSync, renameSync, statSync, writeFileSync } from 'node:fs'
import { createConnection } from 'node:net'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { type BlobSource, SourceError } from '../src/source.ts'
import { installByUpdater, slotStates, UpdateFailed, verifyByUpdater } from '../src/updater-client.ts'
import {
  dataFrame,
  FrameReader,
  type InstallProgress,
  jsonFrame,
  wantBytesMax,
} from '../src/updater-protocol.ts'
import { MemorySource } from './support/memory-source.ts'
import { noise, type SampleRelease, sampleRelease, text } from './support/sample-release.ts'
import { Signer } from './support/signer.ts'
import { UpdaterMachine } from './support/updater-process.ts'

const runtime = text('runtime', 5_000_000)
const kernel = noise('kernel', 1_500_000)

function release(counter: number): Promise<SampleRelease> {
  const uki = new Uint8Array(1_540_096)
  uki.set(kernel)
  uki.set(noise(`uki ${counter}`, 5000), 1_530_000)
  return sampleRelease(counter, { '/bin/bun': runtime, '/page.js': noise(`page ${counter}`, 9000) }, uki)
}

const [one, two] = await Promise.all([release(1), release(2)])
const partitionBytes = 8 * 1024 * 1024

async function machine(): Promise<UpdaterMachine> {
  const started = new UpdaterMachine(one, partitionBytes)
  await started.start()
  return started
}

function expectInstalled({ rootB, bootFolder }: UpdaterMachine, { root, uki }: SampleRelease): void {
  expect(Buffer.compare(readFileSync(rootB).subarray(0, root.length), root)).toBe(0)
  expect(readdirSync(bootFolder).toSorted()).toEqual(['soloa+3-0.efi', 'solob+3-0.efi'])
  expect(Buffer.compare(readFileSync(`${bootFolder}/solob+3-0.efi`), uki)).toBe(0)
}

/** Gives some parts, and then waits for ever. */
function stuckAfter(parts: number, source: MemorySource, onStuck: () => void): BlobSource {
  return {
    async *open(digest, offset, length) {
      if (source.asked.length >= parts) {
        onStuck()
        await new Promise(() => {})
      }
      yield* source.open(digest, offset, length)
    },
  }
}

describe('updater', () => {
  test('installs by what the client is asked for, and tells how far it is', async () => {
    await using device = await machine()
    const { socket } = device
    expect(await slotStates({ socket })).toMatchObject({
      installing: false,
      slots: [
        { slot: 'solo-a', running: true, condition: 'whole', version: '1.0', counter: 1, triesLeft: 3 },
        { slot: 'solo-b', running: false, condition: 'empty', version: null },
      ],
    })
    const source = new MemorySource(two.blobs)
    const heard: InstallProgress[] = []
    const documents = device.documents(two)
    expect(await verifyByUpdater(documents, { socket })).toEqual({ version: '2.0', counter: 2 })
    const onProgress = (progress: InstallProgress): void => void heard.push(progress)
    const installed = await installByUpdater({ documents, source, socket, onProgress })
    expectInstalled(device, two)
    const gave = source.asked.reduce((sum, { length }) => sum + length, 0)
    expect(installed).toEqual({
      type: 'installed',
      slot: 'solo-b',
      version: '2.0',
      counter: 2,
      fetchedBytes: gave,
    })
    expect(gave).toBeLessThan(150_000)
    expect(Math.max(...source.asked.map(({ length }) => length))).toBeLessThanOrEqual(wantBytesMax)
    expect([...new Set(heard.map(({ phase }) => phase))]).toEqual([
      'compare',
      'fetch',
      'verify',
      'boot-image',
    ])
    expect(statSync(socket).mode & 0o777).toBe(0o660)
    expect(await device.stop()).toBe(0)
    expect(existsSync(socket)).toBe(false)
  })

  test('goes on where it stopped when the client goes away, and is busy no longer', async () => {
    await using device = await machine()
    const { socket } = device
    const documents = device.documents(two)
    const gone = new AbortController()
    const first = new MemorySource(two.blobs)
    const source = stuckAfter(5, first, () => gone.abort(new Error('gone')))
    await expect(installByUpdater({ documents, source, socket, signal: gone.signal })).rejects.toThrow('gone')
    const again = new MemorySource(two.blobs)
    await expect.poll(() => slotStates({ socket })).toMatchObject({ installing: false })
    const { slots } = await slotStates({ socket })
    expect(slots[1]).toMatchObject({ condition: 'partial', version: '2.0', counter: 2 })
    expect(slots[1]?.doneBytes).toBeGreaterThan(0)
    await installByUpdater({ documents, source: again, socket })
    expectInstalled(device, two)
  })

  test('goes on where it stopped when it is killed', async () => {
    await using device = await machine()
    const { socket } = device
    const documents = device.documents(two)
    const first = new MemorySource(two.blobs)
    const killed = installByUpdater({
      documents,
      source: stuckAfter(5, first, () => void device.kill()),
      socket,
    })
    await expect(killed).rejects.toThrow(UpdateFailed)
    await device.start()
    const { slots } = await slotStates({ socket })
    expect(slots[1]).toMatchObject({ condition: 'partial', version: '2.0' })
    await installByUpdater({ documents, source: new MemorySource(two.blobs), socket })
    expectInstalled(device, two)
    expect((await slotStates({ socket })).slots[1]).toMatchObject({ condition: 'whole', triesLeft: 3 })
  })

  test('installs one release at a time', async () => {
    await using device = await machine()
    const { socket } = device
    const documents = device.documents(two)
    const stuck = Promise.withResolvers<void>()
    const leave = new AbortController()
    const source = stuckAfter(0, new MemorySource(two.blobs), stuck.resolve)
    const first = installByUpdater({ documents, source, socket, signal: leave.signal })
    await Promise.race([stuck.promise, first])
    const second = installByUpdater({ documents, source: new MemorySource(two.blobs), socket })
    await expect(second).rejects.toMatchObject({ name: 'UpdateRefused', check: 'busy' })
    expect(await slotStates({ socket })).toMatchObject({
      installing: true,
      slots: [{}, { condition: 'partial' }],
    })
    leave.abort(new Error('enough'))
    await expect(first).rejects.toThrow('enough')
  })

  test('believes neither the client nor the documents: nothing is written, and the reason is told', async () => {
    await using device = await machine()
    const { socket } = device
    const source = new MemorySource(two.blobs)
    const refused = async (documents: object, check: string): Promise<void> => {
      const attempt = installByUpdater({
        documents: documents as ReturnType<typeof device.documents>,
        source,
        socket,
      })
      await expect(attempt).rejects.toMatchObject({ name: 'UpdateRefused', check })
    }
    const good = device.documents(two)
    await refused(device.documents(two, new Signer()), 'signature')
    await refused(device.documents(one), 'same-release')
    await refused({ ...good, manifest: good.manifest.replace('2.0', '2.1') }, 'signature')
    await refused({ manifest: 7 }, 'format')
    device.boot({ counterFloor: 3 })
    await refused(good, 'counter')
    device.boot({ trial: true, blessed: false })
    await refused(good, 'unblessed')
    device.boot({ slot: null, entry: null })
    await refused(good, 'slot')
    expect(source.asked).toEqual([])
    expect(readFileSync(device.rootB).every((byte) => byte === 0)).toBe(true)
    expect(readdirSync(device.bootFolder)).toEqual(['soloa+3-0.efi'])
  })

  test('takes a release while one runs that was blessed once and is unwell now, unless the other slot comes next', async () => {
    await using device = await machine()
    const { socket } = device
    const source = new MemorySource(two.blobs)
    const documents = device.documents(two)
    const verified = { counter: 2 }
    const unwell = { trial: false, blessed: false }
    device.boot({ ...unwell, entry: 'soloa+2-1.efi' })
    await expect(verifyByUpdater(documents, { socket })).resolves.toMatchObject(verified)
    // Its last try, and the other slot has some: that is what the machine goes back to.
    device.boot({ ...unwell, entry: 'soloa+0-3.efi' })
    writeFileSync(join(device.bootFolder, 'solob+2-1.efi'), '')
    const refused = { name: 'UpdateRefused', check: 'unblessed' }
    await expect(verifyByUpdater(documents, { socket })).rejects.toMatchObject(refused)
    await expect(installByUpdater({ documents, source, socket })).rejects.toMatchObject(refused)
    expect(source.asked).toEqual([])
    // Its last try, and the other slot has none: there is nothing to go back to, and the release may be the cure.
    renameSync(join(device.bootFolder, 'solob+2-1.efi'), join(device.bootFolder, 'solob+0-3.efi'))
    await expect(verifyByUpdater(documents, { socket })).resolves.toMatchObject(verified)
    await installByUpdater({ documents, source, socket })
    expectInstalled(device, two)
  })

  test('takes a release while one runs that has passed its trial', async () => {
    await using device = await machine()
    // PID 1 tells of the boot that it began as a trial until the next one.
    device.boot({ trial: true, blessed: true })
    const { socket } = device
    await expect(verifyByUpdater(device.documents(two), { socket })).resolves.toMatchObject({ counter: 2 })
  })

  test('refuses what a lying client gives, and fails with what an honest one says', async () => {
    await using device = await machine()
    const { socket } = device
    const documents = device.documents(two)
    const lying: BlobSource = {
      async *open(_, __, length) {
        yield new Uint8Array(length)
      },
    }
    const lie = installByUpdater({ documents, source: lying, socket })
    await expect(lie).rejects.toMatchObject({ name: 'UpdateRefused', check: 'digest' })
    const unable: BlobSource = {
      open() {
        throw new SourceError('the network is down')
      },
    }
    const failure = installByUpdater({ documents, source: unable, socket })
    await expect(failure).rejects.toThrow('the client: the network is down')
    await installByUpdater({ documents, source: new MemorySource(two.blobs), socket })
    expectInstalled(device, two)
  })

  test('survives clients that do not speak its protocol', async () => {
    await using device = await machine()
    const garbage: [string, Uint8Array, RegExp][] = [
      ['a frame of 4 GiB', Uint8Array.of(255, 255, 255, 255, 0), /frame of 4294967294 bytes/],
      ['no request', dataFrame(new Uint8Array(3)), /data without a want/],
      ['an unknown request', jsonFrame({ type: 'format-disk' }), /no message of the updater's/],
      [
        'an answer that was not asked',
        Buffer.concat([jsonFrame({ type: 'state' }), jsonFrame({ type: 'data', id: 1 })]),
        /was not asked/,
      ],
    ]
    for (const [what, bytes, message] of garbage) {
      expect(JSON.stringify(await talk(device.socket, bytes)), what).toMatch(message)
    }
    expect(await slotStates({ socket: device.socket })).toMatchObject({ installing: false })
  })
})

/** Sends bytes, and gives what comes until the end. */
async function talk(path: string, bytes: Uint8Array): Promise<unknown[]> {
  const socket = createConnection(path)
  const reader = new FrameReader()
  const heard: unknown[] = []
  socket.on('data', (chunk: Uint8Array) => {
    for (const frame of reader.push(chunk)) heard.push(frame.kind === 'json' ? frame.value : frame.bytes)
  })
  const { promise, resolve } = Promise.withResolvers<void>()
  socket.on('close', () => resolve())
  socket.write(bytes)
  await promise
  return heard
}
