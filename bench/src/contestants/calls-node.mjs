// The same calls under Node: of the C library through koffi, and node:fs's own.
// Usage: calls-node.mjs koffi|fs getppid|read|statx
import { openSync, readSync, statSync } from 'node:fs'
import { createInterface } from 'node:readline'
import koffi from 'koffi'

const callsPerBatch = 200_000
const libc = koffi.load('libc.so.6')
const getppid = libc.func('int getppid()')
const read = libc.func('int64_t read(int fd, void *buffer, uint64_t count)')
const statx = libc.func('int statx(int dirfd, const char *path, int flags, unsigned int mask, void *buffer)')

const [AT_FDCWD, STATX_BASIC_STATS, statxBytes] = [-100, 0x7ff, 256]
const zero = openSync('/dev/zero', 'r')
const [byte, buffer] = [new Uint8Array(1), new Uint8Array(statxBytes)]

const loops = {
  koffi: {
    getppid() {
      for (let call = 0; call < callsPerBatch; call++) getppid()
    },
    read() {
      for (let call = 0; call < callsPerBatch; call++) read(zero, byte, 1)
    },
    statx() {
      for (let call = 0; call < callsPerBatch; call++) {
        statx(AT_FDCWD, '/dev/zero', 0, STATX_BASIC_STATS, buffer)
      }
    },
  },
  fs: {
    read() {
      for (let call = 0; call < callsPerBatch; call++) readSync(zero, byte)
    },
    statx() {
      for (let call = 0; call < callsPerBatch; call++) statSync('/dev/zero')
    },
  },
}

const [way, name] = process.argv.slice(2)
const loop = loops[way]?.[name] ?? process.exit(2)
for await (const _ of createInterface({ input: process.stdin })) {
  const start = process.hrtime.bigint()
  loop()
  process.stdout.write(`${Number(process.hrtime.bigint() - start) / callsPerBatch}\n`)
}
