// What a program that `spawn` started says.
import { isSysError } from '../src/errno.ts'
import type { AsFd } from '../src/fd.ts'
import { read } from '../src/io.ts'
import { reactor } from '../src/reactor.ts'
import { type ExitStatus, spawn, type SpawnOptions } from '../src/spawn.ts'

/** All bytes of a non-blocking descriptor, as text. */
export async function readAll(fd: AsFd): Promise<string> {
  const buffer = new Uint8Array(65_536)
  const parts: Uint8Array[] = []
  for (;;) {
    await reactor().readable(fd)
    try {
      const size = read(fd, buffer)
      if (size === 0) return Buffer.concat(parts).toString()
      parts.push(buffer.slice(0, size))
    } catch (error) {
      if (!isSysError(error, 'EAGAIN')) throw error
    }
  }
}

/** Standard output of a program that must end with 0. */
export async function output(options: SpawnOptions): Promise<string> {
  using child = spawn({ stdio: ['null', 'pipe', 'inherit'], ...options })
  if (child.stdout === undefined) throw new TypeError('standard output is no pipe')
  const text = await readAll(child.stdout)
  const status = await child.wait()
  if (status.code !== 0) throw new Error(`${options.file} ended with ${JSON.stringify(status)}: ${text}`)
  return text
}

/** Standard output of a shell script. */
export function shell(script: string, options: Partial<SpawnOptions> = {}): Promise<string> {
  return output({
    file: '/bin/sh',
    args: ['-c', script],
    env: { PATH: '/usr/bin:/bin:/usr/sbin:/sbin' },
    ...options,
  })
}

/** Starts a program, waits for its end and gives its descriptors back. */
export async function run(options: SpawnOptions): Promise<ExitStatus> {
  using child = spawn(options)
  return await child.wait()
}
