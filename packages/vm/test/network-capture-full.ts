// Run by network.test.ts under a limit on the size of files: twenty frames through a network whose capture is full.
import { Duplex } from 'node:stream'
import { privateNetwork } from '../src/network.ts'
import { encodeFrame } from '../src/network/frames.ts'

using network = privateNetwork({ capture: process.argv[2] ?? '' })
const sender = new Duplex({ read: () => {}, write: (_chunk, _encoding, done) => done() })
let delivered = 0
const receiver = new Duplex({
  read: () => {},
  write: (_chunk, _encoding, done) => {
    delivered += 1
    done()
  },
})
network.connect(sender)
network.connect(receiver)
for (let count = 0; count < 20; count += 1) sender.push(encodeFrame(new Uint8Array(100).fill(255)))
await new Promise((resolve) => {
  setTimeout(resolve, 50)
})
const error = network.captureError?.code
process.stdout.write(JSON.stringify({ delivered, error }))
