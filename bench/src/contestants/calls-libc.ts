// The same calls of the C library, through Bun's FFI. The path is made once, and nothing is checked.
import { dlopen, FFIType } from 'bun:ffi'
import { closeSync, openSync } from 'node:fs'
import { answer, callsPerBatch } from './batch.ts'

const { getppid, read, statx } = dlopen('libc.so.6', {
  getppid: { args: [], returns: 'i32' },
  read: { args: ['i32', 'ptr', 'u64'], returns: FFIType.i64_fast },
  statx: { args: ['i32', 'ptr', 'i32', 'u32', 'ptr'], returns: 'i32' },
}).symbols

const [AT_FDCWD, STATX_BASIC_STATS, statxBytes] = [-100, 0x7ff, 256]
const zero = openSync('/dev/zero', 'r')
process.on('exit', () => closeSync(zero))
const path = new TextEncoder().encode('/dev/zero\0')
const [byte, buffer] = [new Uint8Array(1), new Uint8Array(statxBytes)]

const loops: Readonly<Record<string, () => void>> = {
  getppid() {
    for (let call = 0; call < callsPerBatch; call++) getppid()
  },
  read() {
    for (let call = 0; call < callsPerBatch; call++) read(zero, byte, 1)
  },
  statx() {
    for (let call = 0; call < callsPerBatch; call++) statx(AT_FDCWD, path, 0, STATX_BASIC_STATS, buffer)
  },
}

const loop = loops[process.argv[2] ?? ''] ?? process.exit(2)
await answer(() => {
  const start = Bun.nanoseconds()
  loop()
  return (Bun.nanoseconds() - start) / callsPerBatch
})
