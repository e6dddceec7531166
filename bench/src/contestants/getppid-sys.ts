// getppid through the raw layer of @pkg/sys.
import { bind } from '@pkg/sys/raw'
import { answer, callsPerBatch } from './batch.ts'

const getppid = bind('getppid')

await answer(() => {
  const start = Bun.nanoseconds()
  for (let call = 0; call < callsPerBatch; call++) getppid()
  return (Bun.nanoseconds() - start) / callsPerBatch
})
