// How long after a write into a pipe Node's stream calls `data`: the median of a batch. Usage: wake-node.mjs WAKER
import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'

const wakesPerBatch = 200
const waker = spawn(process.argv[2], { stdio: ['pipe', 'pipe', 'inherit'] })
let onTime = () => {}
// libuv's hrtime is CLOCK_MONOTONIC.
waker.stdout.on('data', (time) => onTime(Number(process.hrtime.bigint() - time.readBigUInt64LE())))

for await (const _ of createInterface({ input: process.stdin })) {
  const median = await new Promise((resolve) => {
    const delays = []
    onTime = (delayNs) => {
      delays.push(delayNs)
      if (delays.length < wakesPerBatch) waker.stdin.write('x')
      else resolve(delays.toSorted((left, right) => left - right)[wakesPerBatch >> 1])
    }
    waker.stdin.write('x')
  })
  process.stdout.write(`${median}\n`)
}
