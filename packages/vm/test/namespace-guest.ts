/**
 * A program for tests: starts a namespace guest as whoever runs it, tells of it in lines of JSON, and waits for its end.
 * Arguments: root folder, shell script for busybox.
 */
import { namespaceSupport, startNamespace } from '../src/namespace.ts'

const [, , folder = '', script = ''] = process.argv
const tell = (value: unknown): void => void process.stdout.write(`${JSON.stringify(value)}\n`)
tell(await namespaceSupport())
const guest = await startNamespace({
  folder,
  program: '/bin/busybox',
  args: ['sh', '-c', script],
  timeoutMs: 60_000,
})
tell({ pid: guest.pid })
const { reason, init } = await guest.exited
tell({ reason, init, console: guest.console.text })
