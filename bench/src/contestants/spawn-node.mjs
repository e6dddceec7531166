// child_process.spawn of Node and its `exit` event.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'

const spawnsPerBatch = 300
const [file] = process.argv.slice(2)

for await (const _ of createInterface({ input: process.stdin })) {
  const start = process.hrtime.bigint()
  for (let spawned = 0; spawned < spawnsPerBatch; spawned++) {
    await once(spawn(file, [], { env: {}, stdio: 'inherit' }), 'exit')
  }
  process.stdout.write(`${Number(process.hrtime.bigint() - start) / spawnsPerBatch}\n`)
}
