// For calls of many meanings, of which one needs a capability: prctl, socket, the attributes of files.
import { errnoName, isError, SysError } from '../errno.ts'
import { hintFor } from './hints.ts'

/**
 * `check`, with the hint of one meaning of the call instead of the call's own.
 *
 * @param meaning - as the table of hints names it: `prctl_capbset_drop`
 * @throws {@link SysError} when `result` is −4095…−1
 */
export function checkMeaning(result: number, syscall: string, meaning: string, path?: string): number {
  if (!isError(result)) return result
  throw new SysError({ errno: -result, syscall, path, detail: hintFor(errnoName(-result), meaning) })
}
