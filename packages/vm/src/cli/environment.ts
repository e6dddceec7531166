// Which variables of the host a program in the machine gets.
import type { VariableFlag } from './values.ts'

/**
 * Where programs and settings are and how text is shown. Nothing else: a machine is to be the same for everybody,
 * and what the environment has of secrets is not for every program.
 */
const PASSED = /^(?:PATH|HOME|TZ|LANG|LANGUAGE|LC_[A-Z]+|COLORTERM|NO_COLOR|FORCE_COLOR)$/

/** Where Debian has programs, for a host without a PATH. */
const DEFAULT_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'

/** The program's environment: what is passed of `host`, then what `--env` says. */
export function programEnvironment(
  host: Readonly<Record<string, string | undefined>>,
  flags: readonly VariableFlag[],
  terminal: boolean,
): Record<string, string> {
  // Programs run as root of the machine, whoever started it.
  const environment: Record<string, string> = { PATH: DEFAULT_PATH, USER: 'root', LOGNAME: 'root' }
  for (const [name, value] of Object.entries(host)) {
    if (value !== undefined && (PASSED.test(name) || (terminal && name === 'TERM'))) environment[name] = value
  }
  for (const { name, value = host[name] } of flags) {
    if (value !== undefined) environment[name] = value
  }
  return environment
}
