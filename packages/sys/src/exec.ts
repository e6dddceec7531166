// Becoming another program: what PID 1 does to renew itself.
import { check } from './errno.ts'
import { type AsFd, dirfdNumber } from './fd.ts'
import { addressOf, bind } from './raw.ts'
import { cString, u32 } from './raw/arguments.ts'

const raw = {
  execve: bind('execve', 'ptr', 'ptr', 'ptr'),
  execveat: bind('execveat', 'int', 'ptr', 'ptr', 'ptr', 'int'),
}

/** A null-terminated array of addresses, and the strings that it leads to. */
interface Vector {
  addresses: BigUint64Array
  strings: Uint8Array[]
}

function vector(texts: readonly string[], name: string): Vector {
  const addresses = new BigUint64Array(new ArrayBuffer(8 * (texts.length + 1)))
  const strings = texts.map((text) => {
    const encoded = cString(text, name)
    // Over an ArrayBuffer, whose address stays.
    const fixed = new Uint8Array(new ArrayBuffer(encoded.length))
    fixed.set(encoded)
    return fixed
  })
  for (const [index, one] of strings.entries()) addresses[index] = BigInt(addressOf(one))
  return { addresses, strings }
}

function environment(env: Readonly<Record<string, string>>): Vector {
  return vector(
    Object.entries(env).map(([name, value]) => {
      if (name === '' || name.includes('=')) throw new TypeError(`env: not a variable's name: ${name}`)
      return `${name}=${value}`
    }),
    'env',
  )
}

/** The strings must live until the call is over: it did not return, or it failed and this is reached. */
function failed(result: number, syscall: string, path: string, ...vectors: Vector[]): never {
  for (const { strings } of vectors) for (const one of strings) one.fill(0)
  check(result, syscall, path)
  throw new Error(`${syscall} returned ${result}`)
}

/**
 * `execve(pathname, argv, envp)` — this process becomes another program: same id, same open descriptors but for the
 * close-on-exec ones. Does not return.
 *
 * All other threads end at once, nothing is flushed, no exit handler runs. To start a program beside this one use
 * `spawn`.
 *
 * @param args - argv, argv[0] included
 * @param env - the whole environment
 * @throws {@link SysError} `ENOENT`, `EACCES`, `ENOEXEC`, `ETXTBSY`; then nothing has changed
 * @see https://man7.org/linux/man-pages/man2/execve.2.html
 *
 * @example
 * ```ts
 * import { execve } from '@pkg/sys/exec'
 *
 * execve('/bin/sh', ['sh', '-c', 'echo $GREETING'], { GREETING: 'hello' })
 * ```
 */
export function execve(path: string, args: readonly string[], env: Readonly<Record<string, string>>): never {
  const [argv, envp] = [vector(args, 'args'), environment(env)]
  const result = raw.execve(cString(path), argv.addresses, envp.addresses)
  return failed(result, 'execve', path, argv, envp)
}

/**
 * `execveat(dirfd, pathname, argv, envp, flags)` — {@link execve} relative to a folder; with AT_EMPTY_PATH the program in
 * an open file, a memfd too. Since: Linux 3.19.
 *
 * @param flags - AT_EMPTY_PATH, AT_SYMLINK_NOFOLLOW, AT_EXECVE_CHECK (Linux 6.14: only asks whether it may)
 * @throws {@link SysError} as {@link execve}
 * @see https://man7.org/linux/man-pages/man2/execveat.2.html
 */
export function execveat(
  dirfd: AsFd,
  path: string,
  args: readonly string[],
  env: Readonly<Record<string, string>>,
  flags = 0,
): void {
  const [argv, envp] = [vector(args, 'args'), environment(env)]
  const at = dirfdNumber(dirfd)
  const result = raw.execveat(at, cString(path), argv.addresses, envp.addresses, u32(flags, 'flags'))
  // 0: AT_EXECVE_CHECK, and it may.
  if (result !== 0) failed(result, 'execveat', path, argv, envp)
}
