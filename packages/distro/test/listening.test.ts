// What QEMU does with a forwarded port: it accepts, and closes when nobody listens in the guest.
import { once } from 'node:events'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import { describe, expect, test } from 'vitest'
import { untilListening } from '../src/run/listening.ts'

async function serving(
  onConnection: (socket: Socket) => void,
  use: (port: number) => Promise<void>,
): Promise<void> {
  const server = createServer(onConnection).listen(0, '127.0.0.1')
  await once(server, 'listening')
  try {
    await use((server.address() as AddressInfo).port)
  } finally {
    server.close()
  }
}

describe('untilListening()', () => {
  test('is true for a connection that stays open', async () => {
    await serving(
      () => {},
      async (port) => expect(await untilListening(port, 30_000)).toBe(true),
    )
  })

  test('is false while connections are accepted and closed at once', async () => {
    await serving(
      (socket) => socket.destroy(),
      async (port) => expect(await untilListening(port, 600)).toBe(false),
    )
  })

  test('waits for the first connection that is held', async () => {
    let count = 0
    const refuseTwo = (socket: Socket): void => {
      count += 1
      if (count <= 2) socket.destroy()
    }
    await serving(refuseTwo, async (port) => expect(await untilListening(port, 30_000)).toBe(true))
    expect(count).toBe(3)
  })
})
