// When a service in the guest can be reached: later than its process was started.
import { connect } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'

/** QEMU accepts every connection to a forwarded port itself; it closes one within this time if nobody listens. */
const heldMs = 250

/** Time between two tries. */
const retryMs = 50

/**
 * Resolves when something listens behind a forwarded port of this machine's loopback, or when `limitMs` is over.
 *
 * @param port - of 127.0.0.1
 * @param limitMs - in milliseconds
 * @returns whether something listens
 */
export async function untilListening(port: number, limitMs: number): Promise<boolean> {
  const endMs = performance.now() + limitMs
  while (performance.now() < endMs) {
    if (await isHeld(port)) return true
    await sleep(retryMs)
  }
  return false
}

/** Whether a connection is still open after a while. Nothing is sent: the service may speak any protocol. */
function isHeld(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1')
    const finish = (held: boolean): void => {
      clearTimeout(timer)
      socket.destroy()
      resolve(held)
    }
    const timer = setTimeout(() => finish(socket.readyState === 'open'), heldMs)
    socket.on('data', () => finish(true))
    socket.on('end', () => finish(false))
    socket.on('error', () => finish(false))
    socket.on('close', () => finish(false))
  })
}
