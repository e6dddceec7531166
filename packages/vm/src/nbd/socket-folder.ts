/**
 * A folder for this process's sockets that nobody else may enter, and that is gone when the process is, however it
 * ends: a shell waits for the end of a pipe whose other end only we hold, and then removes the folder.
 */
import { spawn, type ChildProcess } from 'node:child_process'
import { existsSync, mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** `read` returns when the pipe ends: the kernel closes it for us, after SIGKILL too. */
const REMOVE_AT_END = 'read -r _; rm -rf -- "$1"'

/** A Unix socket's path has 107 bytes at most (sun_path of unix(7), with its NUL); a socket's name needs 12. */
const FOLDER_BYTES_MAX = 95

let folder: string | undefined
/** Held on to: were it collected, its pipe would be closed, and the folder be gone too early. */
let guard: ChildProcess | undefined
let socketCount = 0

/** A path for a new socket. Whoever listens there removes it; the folder stays until the process ends. */
export function socketPath(): string {
  if (folder === undefined || !existsSync(folder)) folder = makeFolder()
  socketCount += 1
  return join(folder, `${socketCount}.sock`)
}

function makeFolder(): string {
  const long = Buffer.byteLength(tmpdir()) > FOLDER_BYTES_MAX - '/solo-nbd-XXXXXX'.length
  const made = mkdtempSync(join(long ? '/tmp' : tmpdir(), 'solo-nbd-'))
  // A session of its own: Ctrl-C at our terminal must not end it before us.
  guard = spawn('/bin/sh', ['-c', REMOVE_AT_END, 'solo-nbd', made], {
    stdio: ['pipe', 'ignore', 'ignore'],
    detached: true,
    cwd: '/',
  })
  // Without a shell the folder stays behind; nothing else depends on it.
  guard.on('error', () => {})
  guard.unref()
  const pipe = guard.stdin as unknown as { unref?: () => void } | null
  pipe?.unref?.()
  return made
}
