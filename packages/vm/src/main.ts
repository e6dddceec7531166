#!/usr/bin/env node
/** `bunx @pkg/vm`: the command `solo vm` by itself, under Bun and Node. */
import {
  ArgumentScannerError,
  buildApplication,
  formatMessageForArgumentScannerError,
  run,
  text_en,
} from '@stricli/core'
import packageJson from '../package.json' with { type: 'json' }
import { USAGE_STATUS } from './cli/status.ts'
import { vmCommand } from './command.ts'

const application = buildApplication(vmCommand, {
  name: 'solo-vm',
  versionInfo: { currentVersion: packageJson.version },
  scanner: { caseStyle: 'allow-kebab-for-camel', allowArgumentEscapeSequence: true },
  documentation: { caseStyle: 'convert-camel-to-kebab' },
  localization: {
    text: {
      ...text_en,
      exceptionWhileParsingArguments(error) {
        const known = error instanceof ArgumentScannerError
        const message = known ? formatMessageForArgumentScannerError(error, {}) : String(error)
        return `solo vm: ${message}; see --help`
      },
    },
  },
})

const { stdout, stderr, env } = process
const streams = { stdout, stderr, env, exitCode: null as number | string | null }
const words = process.argv.slice(2)
// Bun takes a first `--` for its own (`bunx --bun @pkg/vm -- make -k`). Options come before the program in any case.
const isProgramFirst = words[0] !== undefined && !words[0].startsWith('-')
await run(application, isProgramFirst ? ['--', ...words] : words, { process: streams })
const status = Number(streams.exitCode ?? 0)
// Stricli's own numbers for a wrong usage are negative.
process.exitCode = status < 0 ? USAGE_STATUS : status
