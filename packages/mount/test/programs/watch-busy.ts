// Watches mounts while the reactor is busy with a pipe; another process mounts. Prints how many changes were told.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { EPOLLIN } from '@pkg/sys/constants'
import { pipe2, read, write } from '@pkg/sys/io'
import { reactor } from '@pkg/sys/reactor'
import { mountTmpfs } from '@pkg/mount/mount'
import { isMountPoint, watchMounts } from '@pkg/mount/mountinfo'

const CHANGES = 8
const folder = process.argv[2] ?? ''
const target = `${folder}/x`
mountTmpfs({ target: folder })
mkdirSync(target)
const pipe = pipe2(0)
reactor().watch(pipe.read, EPOLLIN, () => {
  read(pipe.read, new Uint8Array(64))
  const start = performance.now()
  while (performance.now() - start < 1);
  setTimeout(() => write(pipe.write, new Uint8Array(1)), 0)
})
write(pipe.write, new Uint8Array(1))
let isMounted = false
const watching = async (): Promise<void> => {
  for await (const mounts of watchMounts()) isMounted = isMountPoint(mounts, target)
}
void watching()
let told = 0
for (let change = 0; change < CHANGES; change++) {
  const isMount = change % 2 === 0
  await once(isMount ? spawn('mount', ['-t', 'tmpfs', 'x', target]) : spawn('umount', [target]), 'exit')
  // Before the next change, or it would be told of both at once.
  for (let tries = 0; tries < 200 && isMounted !== isMount; tries++) await sleep(100)
  if (isMounted === isMount) told++
}
process.stdout.write(`${told} of ${CHANGES}`)
process.exit(0)
