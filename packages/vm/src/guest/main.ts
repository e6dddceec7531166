/**
 * The program in a guest: `bun agent.js --control=<where> [--no-boot]` is the agent, mostly as PID 1, and
 * `bun agent.js --runner` the process that carries functions out. It is /sbin/modprobe as well (see `modprobe.ts`).
 *
 * `<where>`: `virtio:<name>` (a virtio serial port), `tty:<path>` (a serial line) or `fd:<number>` (an inherited
 * socket). Only as PID 1 it mounts file systems and loads modules, and with `--no-boot` not even then.
 */
import { Agent } from './agent.ts'
import { bringUp } from './boot.ts'
import { openControl } from './control.ts'
import { modprobe } from './modprobe.ts'
import { MODPROBE_PATH } from './modprobe-path.ts'
import { serveRunner } from './runner.ts'

function option(name: string): string | undefined {
  const prefix = `--${name}=`
  return process.argv.find((argument) => argument.startsWith(prefix))?.slice(prefix.length)
}

/** Nothing may end the agent: the kernel would panic. */
function surviveErrors(): void {
  const report = (error: unknown): void => {
    process.stderr.write(
      `agent: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`,
    )
  }
  process.on('uncaughtException', report)
  process.on('unhandledRejection', report)
}

if (process.argv[2] === MODPROBE_PATH) process.exit(modprobe(process.argv.slice(3)))
else if (process.argv.includes('--runner')) serveRunner()
else {
  surviveErrors()
  // The loop must not run empty, whatever happens to the control channel.
  setInterval(() => {}, 0x7fff_ffff)
  // Whoever tries the program out on a machine that is up must not have /tmp and /run mounted over: that is PID 1's.
  const isBooting = process.pid === 1 && !process.argv.includes('--no-boot')
  const problems = isBooting ? bringUp() : []
  const agent = new Agent({ bootProblems: problems, script: process.argv[1] ?? '' })
  void openControl(option('control') ?? 'fd:3', isBooting).then(
    (control) => agent.serve(control),
    (error: unknown) => process.stderr.write(`agent: no control channel: ${String(error)}\n`),
  )
}
