// getppid of the C library, through koffi on Node.
import { createInterface } from 'node:readline'
import koffi from 'koffi'

const callsPerBatch = 200_000
const getppid = koffi.load('libc.so.6').func('int getppid()')

for await (const _ of createInterface({ input: process.stdin })) {
  const start = process.hrtime.bigint()
  for (let call = 0; call < callsPerBatch; call++) getppid()
  process.stdout.write(`${Number(process.hrtime.bigint() - start) / callsPerBatch}\n`)
}
