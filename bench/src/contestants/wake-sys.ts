// How long after a write into a pipe the reactor calls back, or `await readable()` goes on: the median of a batch.
// Usage: wake-sys.ts watch|await loop|io_uring|worker WAKER
import { EPOLLIN } from '@pkg/sys/constants'
import { read, write } from '@pkg/sys/io'
import { Reactor, type WakerKind } from '@pkg/sys/reactor'
import { spawn } from '@pkg/sys/spawn'
import { answer, median, monotonicNs, wakesPerBatch } from './batch.ts'

const [way, kind, file = ''] = process.argv.slice(2)
using waker = spawn({ file, env: {}, stdio: ['pipe', 'pipe', 'inherit'] })
const [ask, told] = [waker.stdin ?? process.exit(1), waker.stdout ?? process.exit(1)]
using reactor = new Reactor(kind as WakerKind)
const byte = new Uint8Array(1)
const time = new Uint8Array(8)

/** Reads when the pipe was written into; nanoseconds since. */
function delayNs(): number {
  const now = monotonicNs()
  read(told, time)
  return now - Number(new DataView(time.buffer).getBigUint64(0, true))
}

async function measureAwait(): Promise<number[]> {
  const delays: number[] = []
  while (delays.length < wakesPerBatch) {
    write(ask, byte)
    await reactor.readable(told)
    delays.push(delayNs())
  }
  return delays
}

function measureWatch(): Promise<number[]> {
  const delays: number[] = []
  return new Promise((resolve) => {
    const watch = reactor.watch(told, EPOLLIN, () => {
      delays.push(delayNs())
      if (delays.length < wakesPerBatch) {
        write(ask, byte)
        return
      }
      watch[Symbol.dispose]()
      resolve(delays)
    })
    write(ask, byte)
  })
}

await answer(async () => median(await (way === 'await' ? measureAwait() : measureWatch())))
