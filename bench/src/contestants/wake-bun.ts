// How long after a write into a socket of the engine's own its `data` is called: what Bun's loop costs by itself.
// Usage: wake-bun.ts WAKER
import { AF_UNIX, SOCK_NONBLOCK, SOCK_STREAM } from '@pkg/sys/constants'
import { write } from '@pkg/sys/io'
import { socketpair } from '@pkg/sys/socket'
import { spawn } from '@pkg/sys/spawn'
import { answer, median, monotonicNs, wakesPerBatch } from './batch.ts'

const [file = ''] = process.argv.slice(2)
const [ours, theirs] = socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0)
using waker = spawn({ file, env: {}, stdio: ['pipe', theirs, 'inherit'] })
theirs.close()
const ask = waker.stdin ?? process.exit(1)
const byte = new Uint8Array(1)
let onTime: (delayNs: number) => void = () => {}

const options: Bun.FdSocketOptions = {
  fd: ours.release(),
  socket: {
    data: (_socket, time) => onTime(monotonicNs() - Number(time.readBigUInt64LE())),
  },
}
await Bun.connect(options as unknown as Bun.UnixSocketOptions)

await answer(
  () =>
    new Promise((resolve) => {
      const delays: number[] = []
      onTime = (delayNs) => {
        delays.push(delayNs)
        if (delays.length === wakesPerBatch) resolve(median(delays))
        else write(ask, byte)
      }
      write(ask, byte)
    }),
)
