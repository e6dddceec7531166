/** `solo vm`: the command that runs any program in a fresh machine, for a command line built with stricli. */
import { buildCommand, type Command, type CommandContext, type StricliProcess } from '@stricli/core'
import { flagParameters } from './cli/flags.ts'
import { DESCRIPTION, USAGE } from './cli/help.ts'
import type { Flags } from './cli/plan.ts'

/**
 * The command, to be a route of an application or an application by itself. Its scanner must have
 * `allowArgumentEscapeSequence` (for `--`) and `caseStyle: 'allow-kebab-for-camel'`.
 *
 * It sets the exit status of the program it ran as `exitCode` of the context's process, and tells of its own
 * failures itself: to the application they are not errors.
 *
 * @see `packages/distro/src/cli/app.ts`, which has it as a route, and `main.ts`, where it is all there is
 */
export const vmCommand: Command<CommandContext> = buildCommand<Flags, string[]>({
  docs: { brief: 'Run a program in a fresh machine', fullDescription: DESCRIPTION, customUsage: USAGE },
  parameters: {
    flags: flagParameters,
    positional: {
      kind: 'array',
      parameter: { brief: 'Program and its arguments', placeholder: 'PROGRAM', parse: String },
    },
  },
  async func(flags, ...program) {
    const process: StricliProcess = this.process
    // What starts machines is loaded when one is to be started, not for `--help`.
    const { main } = await import('./cli/main.ts')
    process.exitCode = await main(flags, program)
  },
})
