// getppid of the C library, through Bun's FFI.
import { dlopen } from 'bun:ffi'
import { answer, callsPerBatch } from './batch.ts'

const { getppid } = dlopen('libc.so.6', { getppid: { args: [], returns: 'i32' } }).symbols

await answer(() => {
  const start = Bun.nanoseconds()
  for (let call = 0; call < callsPerBatch; call++) getppid()
  return (Bun.nanoseconds() - start) / callsPerBatch
})
