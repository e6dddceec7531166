// Run by nbd.test.ts under Node: what is written for both engines must not need Bun.
import { execFile } from 'node:child_process'
import { Duplex } from 'node:stream'
import { promisify } from 'node:util'
import { crashStates } from '../src/crash-states.ts'
import { rememberingDisk } from '../src/nbd.ts'
import { privateNetwork } from '../src/network.ts'
import { encodeFrame } from '../src/network/frames.ts'

const disk = await rememberingDisk({ sizeBytes: 1 << 20 })
const args = ['-t', 'writeback', '-f', 'raw', '-c', 'write -P 1 0 1024', '-c', 'flush', disk.uri]
await promisify(execFile)('qemu-io', args)
const kinds = disk.log.entries.slice(0, 2).map(({ kind }) => kind)
const states = [...crashStates(disk.log, { to: 2 })].length
await disk[Symbol.asyncDispose]()

const network = privateNetwork()
let heard = 0
const sender = new Duplex({ read: () => {}, write: (_chunk, _encoding, done) => done() })
network.connect(sender)
const receiver = new Duplex({
  read: () => {},
  write: (_chunk, _encoding, done) => {
    heard += 1
    done()
  },
})
network.connect(receiver)
sender.push(encodeFrame(new Uint8Array(60).fill(255)))
await new Promise((resolve) => {
  setTimeout(resolve, 20)
})
network[Symbol.dispose]()
process.stdout.write(JSON.stringify({ kinds, states, heard }))
