/** A program for a test: starts a User Mode Linux guest that stays, tells its process, and waits to be killed. */
import { startUml } from '../src/uml.ts'

const guest = await startUml({
  folder: process.argv[2] ?? '',
  program: '/bin/busybox',
  args: ['sh', '-c', 'echo up; busybox sleep 100 & while :; do :; done'],
  timeoutMs: 60_000,
  memoryMiB: 128,
})
await guest.console.waitFor(/up/)
process.stdout.write(`${JSON.stringify({ pid: guest.pid })}\n`)
await guest.exited
