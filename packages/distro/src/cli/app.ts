// The command line: routes, and how errors and exit statuses come out.
import {
  ArgumentScannerError,
  buildApplication,
  buildRouteMap,
  ExitCode,
  formatMessageForArgumentScannerError,
  run as runApplication,
  text_en,
} from '@stricli/core'
import { killPrograms } from '@pkg/vm/host'
import { vmCommand } from '@pkg/vm/command'
import packageJson from '../../package.json' with { type: 'json' }
import { build } from './build-command.ts'
import { commit, reboot, reset, rollback } from './device-commands.ts'
import { doctor } from './doctor-command.ts'
import { flash } from './flash-command.ts'
import { keys } from './keys-command.ts'
import { errorText, exitStatus, tell } from './output.ts'
import { release } from './release-command.ts'
import { run } from './run-command.ts'
import { status } from './status-command.ts'
import { update } from './update-command.ts'
import { verify } from './verify-command.ts'

const root = buildRouteMap({
  routes: {
    build,
    run,
    flash,
    release,
    verify,
    keys,
    update,
    status,
    commit,
    rollback,
    reboot,
    reset,
    vm: vmCommand,
    doctor,
  },
  docs: {
    brief: 'Solo: appliances in TypeScript',
    fullDescription:
      'Builds appliances from solo.config.ts and runs them; runs any program in a fresh machine.\n\n' +
      'Exit status: 0 done; 1 something failed; 2 the usage, the configuration or another input is wrong;\n' +
      '130 ended by Ctrl-C. solo vm ends with the status of the program that it ran; see solo vm --help.',
  },
})

const failed = (error: unknown): string => errorText(error)

function usage(message: string): string {
  return `solo: ${message}; see solo --help`
}

function unknownCommand(input: string, corrections: readonly string[]): string {
  const hint = corrections.length === 0 ? '' : `; did you mean ${corrections.join(' or ')}?`
  return `there is no command ${JSON.stringify(input)}${hint}`
}

const application = buildApplication(root, {
  name: 'solo',
  versionInfo: { currentVersion: packageJson.version },
  // What comes after -- is the affair of the program that solo vm runs.
  scanner: { caseStyle: 'allow-kebab-for-camel', allowArgumentEscapeSequence: true },
  documentation: { caseStyle: 'convert-camel-to-kebab', useAliasInUsageLine: false },
  localization: {
    text: {
      ...text_en,
      exceptionWhileRunningCommand: failed,
      exceptionWhileLoadingCommandFunction: failed,
      exceptionWhileLoadingCommandContext: failed,
      commandErrorResult: failed,
      noCommandRegisteredForInput: ({ input, corrections }) => usage(unknownCommand(input, corrections)),
      exceptionWhileParsingArguments: (error) => {
        const known = error instanceof ArgumentScannerError
        return usage(known ? formatMessageForArgumentScannerError(error, {}) : errorText(error))
      },
    },
  },
  determineExitCode: exitStatus,
})

/** 128 and the number of the signal, as shells have it. */
const signalStatus = { SIGINT: 130, SIGTERM: 143, SIGHUP: 129 } as const

/**
 * Runs the command and returns its exit status. Signals end the process, after the programs that it started
 * and its temporary files are gone; `solo run` takes them over while the guest runs.
 */
export async function main(inputs: readonly string[]): Promise<number> {
  for (const [signal, code] of Object.entries(signalStatus)) {
    process.on(signal, () => {
      if (process.listenerCount(signal) > 1) return
      killPrograms()
      tell(`\nsolo: ended by ${signal}; nothing half-written is left`)
      process.exit(code)
    })
  }
  const { stdout, stderr, env } = process
  const streams = { stdout, stderr, env, exitCode: null as number | string | null }
  await runApplication(application, inputs, { process: streams })
  const code = Number(streams.exitCode ?? 0)
  if (code >= 0) return code
  return code === ExitCode.InvalidArgument || code === ExitCode.UnknownCommand ? 2 : 1
}
