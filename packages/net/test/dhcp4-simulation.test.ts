// The DHCP machine on thousands of random networks: what must hold after every step, whatever the network does.
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { nextDeadlineMs, type DhcpEvent } from '../src/dhcp4/machine.ts'
import { MESSAGE_TYPE, OPTION } from '../src/dhcp4/options.ts'
import { decodeDhcp, encodeDhcp } from '../src/dhcp4/packet.ts'
import { parseAddress } from '../src/ip.ts'
import { Client, identity, lease, SERVER, typesOf } from './dhcp4-client-model.ts'

function checkInvariants(client: Client, configured: string | null): string | null {
  let address = configured
  for (const action of client.actions) {
    if (action.type === 'configure') {
      expect(action.previous?.address ?? null).toBe(address)
      address = action.held.lease.address
    } else if (action.type === 'deconfigure') {
      expect(action.lease.address).toBe(address)
      address = null
    } else if (action.type === 'send') {
      decodeDhcp(encodeDhcp(action.packet))
    }
  }
  const { name, held } = client.state
  expect(held?.lease.address ?? null).toBe(address)
  if (held !== null) expect(client.nowMs).toBeLessThan(held.expiresAtMs)
  if (name === 'bound' || name === 'renewing' || name === 'rebinding') expect(held).not.toBeNull()
  if (name !== 'stopped' && held?.expiresAtMs !== Infinity)
    expect(nextDeadlineMs(client.state)).toBeLessThan(Infinity)
  // Never busy: what is due is in the future, and at most two messages leave in a step.
  expect(nextDeadlineMs(client.state)).toBeGreaterThan(client.nowMs)
  expect(typesOf(client.actions).filter((type) => type === 'send').length).toBeLessThanOrEqual(2)
  return address
}

test('step() keeps its invariants on any network', () => {
  const address = fc.constantFrom('10.0.2.15', '10.0.2.16', '0.0.0.0', '127.0.0.1')
  const server = fc.constantFrom(SERVER, '10.0.2.99')
  const packet = fc.record({
    type: fc.nat(8),
    address,
    server,
    seconds: fc.constantFrom(0, 1, 30, 600, 86_400, 0xffffffff),
    rightXid: fc.boolean(),
  })
  const happening = fc.oneof(
    { weight: 4, arbitrary: fc.constant('wait' as const) },
    {
      weight: 1,
      arbitrary: fc.constantFrom<DhcpEvent>(
        { type: 'carrier-up' },
        { type: 'carrier-down' },
        { type: 'conflict' },
        { type: 'timer' },
      ),
    },
    { weight: 6, arbitrary: packet },
    { weight: 1, arbitrary: fc.nat(100_000) },
  )
  fc.assert(
    fc.property(
      fc.nat(),
      fc.boolean(),
      fc.array(happening, { maxLength: 60 }),
      (seed, rapidCommit, happenings) => {
        const client = new Client(seed, { ...identity, rapidCommit })
        let configured: string | null = null
        client.step({ type: 'carrier-up' })
        for (const one of happenings) {
          if (one === 'wait') {
            if (nextDeadlineMs(client.state) === Infinity) continue
            client.wait()
          } else if (typeof one === 'number') {
            client.nowMs += one
            client.step({ type: 'timer' })
          } else if ('seconds' in one) {
            const xid = one.rightXid ? client.state.xid : 7
            const options: [number, Uint8Array][] = [
              lease(one.seconds),
              [OPTION.serverIdentifier, parseAddress(one.server)],
              [OPTION.rapidCommit, new Uint8Array()],
            ]
            client.answer(one.type, { xid, yiaddr: one.address }, options)
          } else {
            client.step(one)
          }
          configured = checkInvariants(client, configured)
        }
      },
    ),
    { numRuns: 3_000 },
  )
})

test('step() gets a lease within the hour on a network that loses four of five packets', () => {
  for (let seed = 1; seed <= 200; seed++) {
    const client = new Client(seed)
    let dice = seed
    const lost = (): boolean => {
      dice = (Math.imul(dice, 1_103_515_245) + 12_345) >>> 0
      return dice / 2 ** 32 < 0.55
    }
    client.step({ type: 'carrier-up' })
    while (client.state.name !== 'bound') {
      const asks = client.state.name
      // Lost on the way there or back: 1 − 0.45² = 80 %.
      if (!lost() && !lost()) client.answer(asks === 'selecting' ? MESSAGE_TYPE.offer : MESSAGE_TYPE.ack)
      else client.wait()
      expect(client.nowMs, `seed ${seed}`).toBeLessThan(3_600_000)
    }
  }
})
