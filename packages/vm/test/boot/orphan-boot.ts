/**
 * A program for a test: boots a guest of the backend that it is given, with its agent, and tells its process. Then it
 * waits to be killed, or (with the word `poweroff`) switches the guest off.
 */
import { boot } from '../../src/boot.ts'
import type { Backend } from '../../src/machine.ts'

const backend = process.argv[2] as Backend
await using vm = await boot({
  backend,
  ...(backend === 'namespace' ? {} : { disks: [{ sizeBytes: 1 << 20 }] }),
  ...(backend === 'qemu' ? { snapshot: true } : {}),
  timeoutMs: 120_000,
})
const { pid } = await vm.spawn('/bin/bun', ['-e', 'setInterval(() => {}, 1000)'])
process.stdout.write(`${JSON.stringify({ pid: vm.pid, inside: pid })}\n`)
await (process.argv[3] === 'poweroff' ? vm.poweroff() : vm.exited)
