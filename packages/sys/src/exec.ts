// Becoming another program: what PID 1 does to renew itself.
import { SIGPIPE, SIGXFSZ } from './generated/constants/signal.ts'
import { AT_EXECVE_CHECK } from './generated/constants/open.ts'
import { check } from './errno.ts'
import { type AsFd, dirfdNumber } from './fd.ts'
import { addressOf, bind } from './raw.ts'
import { cString, u32 } from './raw/arguments.ts'

const raw = {
  execve: bind('execve', 'ptr', 'ptr', 'ptr'),
  execveat: bind('execveat', 'int', 'ptr', 'ptr', 'ptr', 'int'),
  sigaction: bind('rt_sigaction', 'int', 'ptr', 'ptr', 'int'),
}

/** A null-terminated array of addresses, and the strings that it leads to. */
interface Vector {
  addresses: BigUint64Array
  strings: Uint8Array[]
}

function vector(texts: readonly string[], name: string): Vector {
  if (!Array.isArray(texts)) throw new TypeError(`${name} must be a list of strings`)
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

function environment(env: Environment): Vector {
  if (typeof env !== 'object' || env === null)
    throw new TypeError('env must be an object of strings: the whole environment')
  const texts: string[] = []
  for (const [name, value] of Object.entries(env)) {
    if (name === '' || name.includes('=')) throw new TypeError(`env: not a variable's name: ${name}`)
    if (value === undefined) continue
    if (typeof value !== 'string') throw new TypeError(`env.${name} must be a string`)
    texts.push(`${name}=${value}`)
  }
  return vector(texts, 'env')
}

/** The whole environment. Variables that are undefined are left out. */
type Environment = Readonly<Record<string, string | undefined>>

/**
 * Makes a call that may not return, with the default for what the engine ignores: the next program would go on ignoring it,
 * and not end when nobody reads what it writes. After a failure it is as it was.
 */
function withDefaultSignals(call: () => number): number {
  const SIG_IGN = 1n
  // struct sigaction: the handler first; all zeros is SIG_DFL.
  const action = (): BigUint64Array => new BigUint64Array(new ArrayBuffer(32))
  const ignored: [signal: number, old: BigUint64Array][] = []
  for (const signal of [SIGPIPE, SIGXFSZ]) {
    const old = action()
    raw.sigaction(signal, null, old, 8)
    if (old[0] !== SIG_IGN) continue
    ignored.push([signal, old])
    raw.sigaction(signal, action(), null, 8)
  }
  const result = call()
  for (const [signal, old] of ignored) raw.sigaction(signal, old, null, 8)
  return result
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
 * SIGPIPE and SIGXFSZ, which the engine ignores, are as at the start of a program again. Until the call fails or the
 * program runs a thread of this one that writes to a pipe which nobody reads ends it.
 *
 * All other threads end at once, nothing is flushed, no exit handler runs. To start a program beside this one use
 * `spawn`.
 *
 * @param args - argv, argv[0] included
 * @param env - the whole environment; variables that are undefined are left out
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
export function execve(path: string, args: readonly string[], env: Environment): never {
  const [argv, envp] = [vector(args, 'args'), environment(env)]
  const file = cString(path)
  const result = withDefaultSignals(() => raw.execve(file, argv.addresses, envp.addresses))
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
  env: Environment,
  flags = 0,
): void {
  const [argv, envp] = [vector(args, 'args'), environment(env)]
  const [at, file, options] = [dirfdNumber(dirfd), cString(path), u32(flags, 'flags')]
  const execute = (): number => raw.execveat(at, file, argv.addresses, envp.addresses, options)
  const result = (options & AT_EXECVE_CHECK) === 0 ? withDefaultSignals(execute) : execute()
  // 0: AT_EXECVE_CHECK, and it may.
  if (result !== 0) failed(result, 'execveat', path, argv, envp)
}
