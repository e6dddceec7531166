/**
 * The hardware watchdog that stage 1 has armed: as long as PID 1's loop turns it hears from us; when it does not, it
 * resets the machine, and the boot counter has its turn.
 */
import { write } from '@pkg/sys/io'

/** The variable by which stage 1 hands it over: the number of a descriptor. */
const VARIABLE = 'SOLO_WATCHDOG_FD'

/** A third of the shortest timeout that hardware commonly has (iTCO 30 s). */
const EVERY_MS = 10_000

/** Any byte but `V`, which would disarm some at the close. @see https://docs.kernel.org/watchdog/watchdog-api.html */
const ALIVE = new Uint8Array([0])

/**
 * Keeps the watchdog from striking, from now on.
 *
 * @param environment - of PID 1, as it was started
 * @returns whether there is one
 */
export function keepAlive(environment: Readonly<Record<string, string | undefined>>): boolean {
  const fd = Number(environment[VARIABLE])
  if (!Number.isInteger(fd) || fd < 3) return false
  const tell = (): void => {
    write(fd, ALIVE)
  }
  tell()
  setInterval(tell, EVERY_MS)
  return true
}
