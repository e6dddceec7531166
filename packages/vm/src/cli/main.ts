// The command's function: from the process to a plan, and from its result to the process.
import { hostArchitecture } from '../host/system.ts'
import { HELP } from './help.ts'
import { commandVm } from './machine.ts'
import { tell } from './output.ts'
import { type Flags, plan, type Plan, UsageError } from './plan.ts'
import { run } from './run.ts'
import { USAGE_STATUS } from './status.ts'

/** Runs the command with its flags and words, and returns its exit status. */
export async function main(flags: Flags, program: readonly string[]): Promise<number> {
  const { stdin, stdout, stderr } = process
  if (!flags.shell && program.length === 0) {
    stderr.write(HELP)
    return USAGE_STATUS
  }
  let planned: Plan
  try {
    planned = plan(flags, program, {
      folder: process.cwd(),
      architecture: hostArchitecture(),
      shell: process.env['SHELL'],
      terminal: stdin.isTTY && stdout.isTTY,
    })
  } catch (error) {
    if (!(error instanceof UsageError)) throw error
    tell(`${error.message}; see solo vm --help`)
    return USAGE_STATUS
  }
  // Loaded when there is something to start: a wrong usage is told at once.
  const { boot } = await import('../boot.ts')
  const diskNames = (planned.boot.disks ?? []).flatMap(({ name }) => name ?? [])
  try {
    return await run(async (options) => commandVm(await boot(options), diskNames), planned, flags, {
      stdin,
      stdout,
      stderr,
    })
  } finally {
    // What nobody has read would keep this process waiting for it.
    stdin.destroy()
  }
}
