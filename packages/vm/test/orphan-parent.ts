/** A program for a test: boots a guest that stays, says its process id, and waits to be killed. */
import { startQemu } from '../src/qemu.ts'

const vm = await startQemu({ kernel: process.argv[2] ?? '', memoryMiB: 32, networks: [], timeoutMs: 60_000 })
process.stdout.write(`qemu ${vm.pid}\n`)
await vm.exited
