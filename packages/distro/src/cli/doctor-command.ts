// solo doctor
import { buildCommand, type Command, type CommandContext } from '@stricli/core'
import { SoloError } from '../error.ts'
import { examine } from '../doctor.ts'
import { print } from './output.ts'

interface Flags {
  readonly json: boolean
}

/** Says what the machine has and lacks. */
export const doctor: Command<CommandContext> = buildCommand<Flags>({
  docs: {
    brief: 'Say what this machine has and lacks for building and running',
    fullDescription:
      'Looks for the programs that solo calls, and says how to get what is missing. Exit status 1 then.',
  },
  parameters: {
    flags: { json: { kind: 'boolean', brief: 'Print the findings as JSON', withNegated: false } },
  },
  async func({ json }) {
    const findings = await examine()
    if (json) print(JSON.stringify(findings))
    else {
      for (const { what, ok, detail, cure } of findings) {
        print(`${ok ? '✓' : '✗'} ${what}: ${detail}${ok || cure === undefined ? '' : `: ${cure}`}`)
      }
    }
    const missing = findings.filter(({ ok, needed }) => needed && !ok)
    if (missing.length > 0) throw new SoloError(`missing: ${missing.map(({ what }) => what).join(', ')}`)
  },
})
