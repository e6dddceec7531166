/** A program for tests: the command, with a real agent on this machine instead of a guest. */
import { commandVm } from '../src/cli/machine.ts'
import { plan } from '../src/cli/plan.ts'
import { run } from '../src/cli/run.ts'
import { GuestEndedError } from '../src/errors.ts'
import { startAgent } from './agent/host-agent.ts'

const { stdin, stdout, stderr } = process
const flags = {
  backend: 'qemu',
  shell: false,
  noShare: true,
  readOnly: false,
  snapshot: false,
  console: false,
  verbose: false,
} as const
const planned = plan(flags, process.argv.slice(2), {
  folder: process.cwd(),
  architecture: 'x86_64',
  shell: undefined,
  terminal: stdin.isTTY && stdout.isTTY,
})

process.exitCode = await run(
  async () => {
    const agent = await startAgent()
    const end = async (): Promise<void> => {
      agent.process.kill('SIGKILL')
      agent.client.end(new GuestEndedError('the agent was killed'))
    }
    return commandVm({
      backend: 'qemu',
      device: (name) => `/dev/${name}`,
      spawn: (file, args, options) => agent.client.spawn(file, args, options),
      // Not in order: the machine is this one.
      poweroff: end,
      kill: end,
    })
  },
  planned,
  flags,
  { stdin, stdout, stderr },
)
