// The auxiliary vector: what the kernel told the process of itself and the machine when it was executed.
import { check, isError } from '../errno.ts'
import { AT_NULL } from '../generated/constants/errno.ts'
import { O_CLOEXEC } from '../generated/constants/open.ts'
import { PR_GET_AUXV } from '../generated/constants/prctl.ts'
import { bind } from '../raw.ts'
import { cString } from '../raw/arguments.ts'

const raw = {
  prctl: bind('prctl', 'int', 'ptr', 'int', 'int', 'int'),
  openat: bind('openat', 'int', 'ptr', 'int', 'int'),
  read: bind('read', 'int', 'ptr', 'int'),
  close: bind('close', 'int'),
}

/** Larger than the kernel's, of some forty pairs (`saved_auxv`). */
const sizeMax = 4096

let known: ReadonlyMap<number, bigint> | undefined

/**
 * The values by their types: AT_PAGESZ, AT_HWCAP …. Read once, for they never change.
 *
 * @throws {@link SysError} where neither prctl(2) has them (before Linux 6.4) nor /proc is mounted and readable
 */
export function auxiliaryVector(): ReadonlyMap<number, bigint> {
  if (known !== undefined) return known
  const words = new BigUint64Array(new ArrayBuffer(sizeMax))
  if (isError(raw.prctl(PR_GET_AUXV, words, sizeMax, 0, 0))) readFile(words)
  const values = new Map<number, bigint>()
  for (let at = 0; at < words.length; at += 2) {
    const type = Number(words[at])
    if (type === AT_NULL) break
    values.set(type, words[at + 1] ?? 0n)
  }
  known = values
  return values
}

function readFile(words: BigUint64Array): void {
  const [AT_FDCWD, path] = [-100, '/proc/self/auxv']
  const fd = check(raw.openat(AT_FDCWD, cString(path), O_CLOEXEC, 0), 'openat', path)
  const result = raw.read(fd, words, sizeMax)
  raw.close(fd)
  check(result, 'read', path)
}
