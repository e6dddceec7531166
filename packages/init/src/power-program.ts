/**
 * `/sbin/poweroff`, `/sbin/reboot` and `/sbin/halt`: programs of two system calls that ask PID 1 by its signals. They
 * need no shell, no library and no memory to speak of, so they work when little else does; the kernel runs the first
 * two itself (orderly_poweroff: a machine that is too hot).
 */
import { SIGRTMIN } from '@pkg/sys/constants'
import { Program } from '@pkg/sys/program'

/** What they ask for, each by systemd's signal. */
const signals = { halt: SIGRTMIN + 3, 'power-off': SIGRTMIN + 4, reboot: SIGRTMIN + 5 } as const

/**
 * The program that asks PID 1 to shut down in order. It ends at once; the shutdown follows. Needs CAP_KILL.
 *
 * @param kind - how the machine is to end
 * @example
 * ```ts
 * import { powerProgram } from '@pkg/init/power-program'
 *
 * console.log(powerProgram('reboot').explain()) // kill(1, SIGRTMIN+5) …
 * const { code, data } = powerProgram('reboot').standalone({ architecture: 'arm64', address: 0x500000 })
 * console.assert(code.length + data.length < 1000)
 * ```
 */
export function powerProgram(kind: 'halt' | 'power-off' | 'reboot'): Program {
  const program = new Program()
  const refused = program.label()
  program.call('kill', 1, signals[kind]).otherwise(refused)
  program.call('exit_group', 0)
  program.place(refused)
  const line = `${kind}: PID 1 cannot be asked: only root may\n`
  program.call('write', 2, line, new TextEncoder().encode(line).length).ignoreErrors()
  program.call('exit_group', 1)
  return program
}
