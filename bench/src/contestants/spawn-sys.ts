// spawn of @pkg/sys, waited for by waitid(2) on its pidfd (as C waits), or by `await child.wait()`.
import { P_PIDFD, WEXITED } from '@pkg/sys/constants'
import { waitid } from '@pkg/sys/process'
import { spawn } from '@pkg/sys/spawn'
import { answer, spawnsPerBatch } from './batch.ts'

const [way, file = ''] = process.argv.slice(2)

await answer(async () => {
  const start = Bun.nanoseconds()
  for (let spawned = 0; spawned < spawnsPerBatch; spawned++) {
    using child = spawn({ file, env: {} })
    if (way === 'waitid') waitid({ idtype: P_PIDFD, id: child.pidfd, options: WEXITED })
    else await child.wait()
  }
  return (Bun.nanoseconds() - start) / spawnsPerBatch
})
