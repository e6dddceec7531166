// What programs find in a guest of namespaces, and what cannot start.
import { readdirSync, readFileSync, realpathSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Duplex } from 'node:stream'
import { afterAll, describe, expect, test } from 'vitest'
import { elfClosure } from '@pkg/image/elf-closure'
import {
  HOST_ROOT,
  type NamespaceMachine,
  type NamespaceOptions,
  NamespaceStartError,
  namespaceSupport,
  startNamespace,
} from '../src/namespace.ts'
import { busyboxRoot } from './namespace-root.ts'
import { B, startShell } from './namespace-shell.ts'
import { testFolder } from './support/folder.ts'

const root = busyboxRoot()
afterAll(() => root[Symbol.dispose]())

const shell = (script: string, options?: Partial<NamespaceOptions>): Promise<NamespaceMachine> =>
  startShell(root.folder, script, options)

describe('what PID 1 finds', () => {
  test('it is alone, root, on a machine of its own name, with a terminal as its console', async () => {
    await using guest = await shell(
      `${B} echo pid $$; b id -u; b hostname; b tty; b ls /proc >/tmp/list; b grep -c '^[0-9]' /tmp/list`,
    )
    await guest.waitForPoweroff()
    // The shell and `ls` are all the processes there are.
    expect(guest.console.text).toBe('pid 1\n0\nguest\n/dev/console\n2\n')
  })

  test('devices, pseudo-terminals, shared memory and the loopback work', async () => {
    await using guest = await shell(`${B} echo gone >/dev/null && b head -c 3 /dev/zero | b wc -c
      [ -c /dev/pts/ptmx ] && [ -e /dev/ptmx ] && echo ptmx
      echo x >/dev/shm/x && echo y >/tmp/y && echo z >/run/z && echo memory
      b ifconfig lo | b grep -o UP; echo shown >/dev/console`)
    await guest.waitForPoweroff()
    expect(guest.console.text).toBe('3\nptmx\nmemory\nUP\nshown\n')
  })

  test('what it writes into the root stays in memory, and the folder as it was', async () => {
    await using guest = await shell(`${B} echo new >/bin/new; b rm /bin/busybox && echo removed`)
    await guest.waitForPoweroff()
    expect(guest.console.text).toBe('removed\n')
    expect(readdirSync(join(root.folder, 'bin'))).toEqual(['busybox'])
  })

  test("the host's mounts, processes and network are not there", async () => {
    await using guest = await shell(
      `${B} b ls -d /home /etc /work 2>&1; b ifconfig -a | b grep -c Link; b kill -0 ${process.pid} 2>&1`,
    )
    await guest.exited
    expect(guest.console.text).toMatch(/No such file[^]*\n1\n[^]*No such process/)
  })

  test('nothing of the kernel that all share can be changed', async () => {
    await using guest = await shell(
      `echo 1 >/proc/sys/kernel/panic; echo 1 >/proc/sys/net/ipv4/ip_forward && echo net`,
    )
    await guest.waitForPoweroff()
    expect(guest.console.text).toMatch(/Read-only file system|Permission denied/)
    expect(guest.console.text).toMatch(/\nnet\n$/)
  })

  test('console.write() types at its terminal', async () => {
    await using guest = await shell('echo name?; read name; echo "hello $name"')
    await guest.console.waitFor(/name\?/)
    guest.console.write('guest\n')
    await guest.console.waitFor(/hello guest/)
  })
})

describe('shares', () => {
  test('a folder is read and written, a file is read, and a read-only one is read only', async () => {
    using shared = testFolder()
    writeFileSync(join(shared.path, 'in'), 'from the host\n')
    const script = `busybox cat /mnt/rw/in /etc/one; echo guest >/mnt/rw/out
      (echo no >/mnt/ro/no) 2>/dev/null || echo refused; (echo no >/etc/one) 2>/dev/null || echo refused`
    const shares = [
      { host: shared.path, guest: '/mnt/rw', writable: true },
      { host: shared.path, guest: '/mnt/ro' },
      { host: join(shared.path, 'in'), guest: '/etc/one' },
    ]
    await using guest = await shell(script, { shares })
    await guest.waitForPoweroff()
    expect(guest.console.text).toBe('from the host\nfrom the host\nrefused\nrefused\n')
    expect(readFileSync(join(shared.path, 'out'), 'utf8')).toBe('guest\n')
  })

  test('a folder whose name means something in mount options is a name like any other', async () => {
    using shared = testFolder()
    const odd = join(shared.path, 'a:b,c\\d e')
    using odder = busyboxRoot()
    const { renameSync } = await import('node:fs')
    renameSync(odder.folder, odd)
    await using guest = await shell('echo works', { folder: odd, shares: [{ host: odd, guest: '/x:y,z' }] })
    await guest.waitForPoweroff()
    expect(guest.console.text).toBe('works\n')
  })

  test("the host's root is there to be read when it was asked for", async () => {
    await using guest = await shell(
      `busybox cat ${HOST_ROOT}/proc/version; (echo 1 >${HOST_ROOT}/tmp/no) 2>/dev/null || echo refused`,
      {
        hostRoot: true,
      },
    )
    await guest.waitForPoweroff()
    expect(guest.console.text).toBe(`${readFileSync('/proc/version', 'utf8')}refused\n`)
  })
})

describe('what cannot start', () => {
  test('a program that is not there is named, with the error', async () => {
    const failing = shell('', { program: '/sbin/init' })
    await expect(failing).rejects.toThrow('the guest did not start: execute /sbin/init: ENOENT')
    await expect(failing).rejects.toThrow(NamespaceStartError)
  })

  test('a program that the kernel does not execute is told at the end', async () => {
    using shared = testFolder()
    writeFileSync(join(shared.path, 'init'), 'no program', { mode: 0o755 })
    const shares = [{ host: join(shared.path, 'init'), guest: '/init' }]
    const ended = shell('', { program: '/init', shares }).then((guest) => guest.waitForPoweroff())
    await expect(ended).rejects.toThrow(/execute \/init: ENOEXEC/)
  })

  test('wrong options are refused before anything starts', async () => {
    await expect(shell('', { program: 'sh' })).rejects.toThrow(TypeError)
    await expect(shell('', { folder: '/no/such' })).rejects.toThrow(/folder: ENOENT/)
    await expect(shell('', { shares: [{ host: '/', guest: '/../x' }] })).rejects.toThrow(TypeError)
    await expect(shell('', { shares: [{ host: '/no/such', guest: '/x' }] })).rejects.toThrow(
      /shares\[0\].host/,
    )
  })
})

/** A stand-in for the agent: answers with what it was sent. */
const ECHO = `import { readSync, writeSync } from 'node:fs'
const retry = (call) => { for (;;) try { return call() } catch (error) { if (error.code !== 'EAGAIN') throw error; Bun.sleepSync(1) } }
const bytes = new Uint8Array(65536)
writeSync(3, 'hello')
for (let size; (size = retry(() => readSync(3, bytes))) > 0; )
  for (let at = 0; at < size; ) at += retry(() => writeSync(3, bytes, at, size - at))
`

test('onControl gives a stream to descriptor 3 of a Bun that is PID 1, and loses nothing', async () => {
  using shared = testFolder()
  writeFileSync(join(shared.path, 'agent.js'), ECHO)
  const bun = realpathSync(process.execPath)
  const closure = await elfClosure({ programs: [{ source: bun, path: '/bin/bun' }], sysroot: '/' })
  const files = closure.map((entry) => ({
    host: entry.type === 'symlink' ? entry.path : entry.source,
    guest: entry.path,
  }))
  const control = Promise.withResolvers<Duplex>()
  await using guest = await startNamespace({
    folder: root.folder,
    program: '/bin/bun',
    args: ['/agent/agent.js', '--control=fd:3'],
    shares: [...files, { host: shared.path, guest: '/agent' }],
    onControl: control.resolve,
    timeoutMs: 20_000,
  })
  const stream = await control.promise
  const received: Uint8Array[] = []
  let size = 0
  const sent = new Uint8Array(10_000_000).map((_, index) => (index * 7919) >> 5)
  await new Promise<void>((resolve) => {
    stream.on('data', (bytes: Uint8Array) => {
      if (size === 0) stream.write(sent)
      received.push(bytes)
      size += bytes.length
      if (size === sent.length + 5) resolve()
    })
  })
  expect(Buffer.concat(received).subarray(5).equals(sent)).toBe(true)
  await guest.kill()
})

test('namespaceSupport() has really made one', async () => {
  expect(await namespaceSupport()).toEqual({ works: true, reason: '' })
})
