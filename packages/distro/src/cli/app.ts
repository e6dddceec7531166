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
import packageJson from '../../package.json' with { type: 'json' }
import { killPrograms } from '../host/program.ts'
import { build } from './build-command.ts'
import { doctor } from './doctor-command.ts'
import { errorText, exitStatus, tell } from './output.ts'
import { run } from './run-command.ts'

const root = buildRouteMap({
  routes: { build, run, doctor },
  docs: {
    brief: 'Solo: appliances in TypeScript',
    fullDescription:
      'Builds appliances from solo.config.ts and runs them.\n\n' +
      'Exit status: 0 done; 1 something failed; 2 the usage, the configuration or another input is wrong;\n' +
      '130 ended by Ctrl-C.',
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
  scanner: { caseStyle: 'allow-kebab-for-camel' },
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
  for (const [signal, status] of Object.entries(signalStatus)) {
    process.on(signal, () => {
      if (process.listenerCount(signal) > 1) return
      killPrograms()
      tell(`\nsolo: ended by ${signal}; nothing half-written is left`)
      process.exit(status)
    })
  }
  const { stdout, stderr, env } = process
  const streams = { stdout, stderr, env, exitCode: null as number | string | null }
  await runApplication(application, inputs, { process: streams })
  const status = Number(streams.exitCode ?? 0)
  if (status >= 0) return status
  return status === ExitCode.InvalidArgument || status === ExitCode.UnknownCommand ? 2 : 1
}
