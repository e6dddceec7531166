// Bun.spawn and `await exited`.
import { answer, spawnsPerBatch } from './batch.ts'

const [file = ''] = process.argv.slice(2)

await answer(async () => {
  const start = Bun.nanoseconds()
  for (let spawned = 0; spawned < spawnsPerBatch; spawned++) {
    await Bun.spawn([file], { env: {}, stdio: ['inherit', 'inherit', 'inherit'] }).exited
  }
  return (Bun.nanoseconds() - start) / spawnsPerBatch
})
