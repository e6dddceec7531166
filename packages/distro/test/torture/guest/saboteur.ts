// A service of root that does harm when it is asked to, over HTTP: for tests of what a machine survives.
//
// `/kill/NAME` kills all processes of a service by SIGKILL, `/fill` leaves no room on the data partition, not even root's.
import { closeSync, fsyncSync, openSync, readdirSync, readFileSync, writeSync } from 'node:fs'

/** Where it listens. */
const PORT = 9999

/** By their cgroups: a service has one of its name. */
function killService(name: string): number {
  const ids = readdirSync('/proc').filter((entry) => /^\d+$/.test(entry))
  const own = ids.filter((id) => {
    try {
      return readFileSync(`/proc/${id}/cgroup`, 'utf8').trimEnd().endsWith(`/${name}`)
    } catch {
      return false
    }
  })
  for (const id of own) process.kill(Number(id), 'SIGKILL')
  return own.length
}

/** Larger pieces first: the last free block goes by the smallest. */
const PIECES = [1 << 20, 1 << 12]

function fill(): number {
  const fd = openSync('/var/lib/saboteur/ballast', 'a')
  let filled = 0
  for (const size of PIECES) {
    for (;;) {
      try {
        filled += writeSync(fd, new Uint8Array(size).fill(1))
        fsyncSync(fd)
      } catch (error) {
        if (error instanceof Error && 'code' in error && error.code === 'ENOSPC') break
        throw error
      }
    }
  }
  closeSync(fd)
  return filled
}

Bun.serve({
  port: PORT,
  fetch(request) {
    const [, what, name = ''] = new URL(request.url).pathname.split('/')
    if (what === 'kill') return Response.json({ killed: killService(name) })
    if (what === 'fill') return Response.json({ filled: fill() })
    return new Response('not found', { status: 404 })
  },
})
console.log('saboteur: listening')
