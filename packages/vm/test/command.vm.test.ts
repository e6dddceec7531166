// solo vm with programs that nobody here wrote, in machines with a kernel of their own.
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { release, tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { descendantsOf, stateOf } from '../src/process-machine/process-tree.ts'
import { runCommand, startCommand } from './command-process.ts'

const folder = mkdtempSync(join(tmpdir(), 'solo-command-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

/** One that waits for a slow init of the host to reap it is gone. */
function isAlive(pid: number): boolean {
  return ![undefined, 'Z'].includes(stateOf(pid))
}

describe.each(['qemu', 'uml'])('solo vm --backend %s', (backend) => {
  const vm = (words: readonly string[], input?: Uint8Array | string) =>
    runCommand(['--backend', backend, ...words], folder, input)

  test('solo vm carries the exit status of busybox', async () => {
    expect(await vm(['--', 'busybox', 'sh', '-c', 'exit 7'])).toMatchObject({ status: 7 })
  })

  test('solo vm has a kernel of its own, and the present folder', async () => {
    const { stdout, status } = await vm([
      '--',
      'sh',
      '-c',
      'uname -r; pwd; echo written > file; touch /etc/x',
    ])
    expect(status).toBe(0)
    const [kernel, where] = stdout.toString().split('\n')
    expect(kernel).not.toBe(release())
    expect(where).toBe(folder)
    expect(readFileSync(join(folder, 'file'), 'utf8')).toBe('written\n')
    expect(existsSync('/etc/x')).toBe(false)
  })

  test('solo vm carries megabytes through cat', async () => {
    // The serial line of User Mode Linux takes 2 KiB at a time: a thousand times is enough.
    const bytes = randomBytes(backend === 'uml' ? 2_000_000 : 10_000_000)
    const { status, stdout } = await vm(['--', 'cat'], bytes)
    expect(status).toBe(0)
    expect(stdout.equals(bytes)).toBe(true)
  })

  test('solo vm runs stressors of files and processes', async () => {
    const stressors = ['dentry', 'fork', 'vfork', 'clone', 'pipe'].flatMap((name) => [`--${name}`, '1'])
    const { status, stderr } = await vm([
      ...['--', 'stress-ng', ...stressors],
      ...['--timeout', '3', '--temp-path', '/tmp'],
    ])
    expect(status, stderr).toBe(0)
  })

  test('solo vm leaves nothing after SIGKILL', async () => {
    const child = startCommand(['--backend', backend, '--', 'sh', '-c', 'echo up; sleep 100'], folder)
    await once(child.stdout ?? child, 'data')
    const machines = descendantsOf(child.pid ?? 0)
    expect(machines.length).toBeGreaterThan(0)
    child.kill('SIGKILL')
    await expect.poll(() => machines.filter((pid) => isAlive(pid))).toEqual([])
  })
})

/** Of stress-ng's class of file systems: what needs more than there is here, and what is like others of it. */
const LEFT_OUT = [
  ...['binderfs', 'iomix', 'bind-mount', 'chattr', 'chmod', 'chown', 'dir', 'dirdeep', 'dirmany', 'dnotify'],
  ...['dup', 'eventfd', 'fanotify', 'fcntl', 'file-ioctl', 'fpunch', 'fsize', 'fstat', 'handle', 'ioprio'],
  ...['lease', 'locka', 'lockf', 'lockofd', 'mknod', 'open', 'procfs', 'symlink', 'touch', 'utime', 'verity'],
]

test('solo vm runs file system stressors of stress-ng one after another, on a disk that it formats', async () => {
  // A second for each; all of them take a minute.
  const words = `--class filesystem --exclude ${LEFT_OUT.join(',')} --sequential 1 --timeout 1`
  const script = `mkfs.ext4 -q $SOLO_DISK0 && mount $SOLO_DISK0 /mnt && exec stress-ng ${words} --temp-path /mnt`
  const machine = ['--backend', 'uml', '--disk', '1G']
  const { status, stdout, stderr } = await runCommand([...machine, '--', 'sh', '-c', script], folder)
  expect(status, stderr.slice(-2_000)).toBe(0)
  expect(stdout.toString() + stderr).toMatch(/successful run completed in/)
}, 300_000)
