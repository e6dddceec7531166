// One system call of @pkg/sys again and again: getppid by the raw layer, read and statx by their typed wrappers.
import { AT_FDCWD, O_RDONLY, STATX_BASIC_STATS } from '@pkg/sys/constants'
import { openat, statx_into } from '@pkg/sys/fs'
import { read } from '@pkg/sys/io'
import { bind } from '@pkg/sys/raw'
import { alloc } from '@pkg/sys/struct'
import { statx } from '@pkg/sys/structs'
import { answer, callsPerBatch } from './batch.ts'

const getppid = bind('getppid')
using zero = openat(AT_FDCWD, '/dev/zero', O_RDONLY)
const byte = new Uint8Array(1)
const buffer = alloc(statx)

const loops: Readonly<Record<string, () => void>> = {
  getppid() {
    for (let call = 0; call < callsPerBatch; call++) getppid()
  },
  read() {
    for (let call = 0; call < callsPerBatch; call++) read(zero, byte)
  },
  statx() {
    for (let call = 0; call < callsPerBatch; call++) {
      statx_into(AT_FDCWD, '/dev/zero', 0, STATX_BASIC_STATS, buffer)
    }
  },
}

const loop = loops[process.argv[2] ?? ''] ?? process.exit(2)
await answer(() => {
  const start = Bun.nanoseconds()
  loop()
  return (Bun.nanoseconds() - start) / callsPerBatch
})
