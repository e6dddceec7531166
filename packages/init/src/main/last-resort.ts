/**
 * When the boot cannot go on: a shell on the console where the plan allows it, else a reboot after a time in
 * which the reason can be read. A reboot counts against the slot that was booted; sitting still would not.
 */
import { AT_FDCWD, O_NOCTTY, O_RDWR, X_OK } from '@pkg/sys/constants'
import { faccessat, openat } from '@pkg/sys/fs'
import { spawn } from '@pkg/sys/spawn'
import type { Console } from '../log/console.ts'
import { endMachine } from '../shell/power.ts'
import { unmountAll } from '../shell/unmount.ts'

/** Long enough to read the reason, short enough for a machine that nobody watches. */
const REBOOT_DELAY_MS = 30_000
const shells: readonly string[] = ['/bin/sh', '/bin/bash', '/bin/busybox']

/** Says why, offers the shell, and reboots in the end. */
export async function lastResort(console: Console, reason: string, allowShell: boolean): Promise<void> {
  for (const line of reason.split('\n')) console.line('init', line)
  const shell = allowShell ? shells.find((path) => faccessat(AT_FDCWD, path, X_OK)) : undefined
  if (shell === undefined) {
    console.line('init', `the boot cannot go on; rebooting in ${REBOOT_DELAY_MS / 1000} s`)
    await new Promise((resolve) => setTimeout(resolve, REBOOT_DELAY_MS))
  } else {
    console.line('init', 'the boot cannot go on; a shell follows, its end reboots')
    await console.settle(1000)
    await runShell(shell).catch((error: unknown) => console.line('init', String(error)))
  }
  console.line('init', 'rebooting')
  await console.settle(1000)
  unmountAll()
  for (const refused of endMachine('reboot')) console.line('init', refused)
}

async function runShell(file: string): Promise<void> {
  using terminal = openat(AT_FDCWD, '/dev/console', O_RDWR | O_NOCTTY)
  using child = spawn({
    file,
    env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', HOME: '/', TERM: 'linux' },
    cwd: '/',
    stdio: [terminal, terminal, terminal],
    newSession: true,
    controllingTty: terminal,
  })
  await child.wait()
}
