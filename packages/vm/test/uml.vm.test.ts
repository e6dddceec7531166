import { spawn } from 'node:child_process'
import {
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import type { Duplex } from 'node:stream'
import { afterAll, describe, expect, test } from 'vitest'
import { elfClosure } from '@pkg/image/elf-closure'
import { GuestPanicError, GuestTimeoutError, UnsupportedError } from '../src/errors.ts'
import { childrenOf, descendantsOf, stateOf } from '../src/process-machine/process-tree.ts'
import {
  startUml,
  UmlCrashedError,
  type UmlMachine,
  UmlMissingError,
  type UmlOptions,
  umlSupport,
} from '../src/uml.ts'
import { busyboxRoot } from './namespace-root.ts'

const root = busyboxRoot()
afterAll(() => root[Symbol.dispose]())

/** A guest whose PID 1 is a shell with `script`. */
function shell(script: string, options: Partial<UmlOptions> = {}): Promise<UmlMachine> {
  const args = ['sh', '-c', `export PATH=/bin; b() { busybox "$@"; }; ${script}`]
  return startUml({
    folder: root.folder,
    program: '/bin/busybox',
    args,
    timeoutMs: 60_000,
    memoryMiB: 128,
    ...options,
  })
}

function temporaryFolder(): { path: string } & Disposable {
  const path = mkdtempSync(join(tmpdir(), 'solo-vm-test-'))
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }) }
}

/** What the guest itself printed: what follows the kernel's lines. */
function printed(guest: UmlMachine): string {
  return guest.console.text.replace(/^[^]*?<<\n/, '').replace(/^reboot: .*\n/m, '')
}

const OFF = 'b poweroff -f; b sleep 9'

test('umlSupport() finds the kernel, and says what is missing', async () => {
  expect(await umlSupport()).toEqual({ works: true, reason: '' })
  expect(await umlSupport('linux.nothing')).toEqual({
    works: false,
    reason: expect.stringContaining('apt install user-mode-linux'),
  })
})

test('startUml() refuses what cannot work before anything starts', async () => {
  await expect(shell('', { uml: 'linux.nothing' })).rejects.toThrow(UmlMissingError)
  await expect(shell('', { memoryMiB: 1 })).rejects.toThrow(RangeError)
  await expect(shell('', { disks: [{}] })).rejects.toThrow(/disks\[0\].sizeBytes/)
  await expect(shell('', { disks: [{ file: '/no/such' }] })).rejects.toThrow(
    'disks[0].file: /no/such is not there',
  )
})

describe('what PID 1 finds', () => {
  test('a kernel, memory, modules and a clock of its own, and a root whose changes stay in memory', async () => {
    await using guest = await shell(`echo '<<'; echo $$; b uname -r; b modprobe loop && b ls /dev/loop0
      b date -s 2001-02-03 >/dev/null; b date +%Y; echo x >/bin/x && echo written; ${OFF}`)
    await guest.waitForPoweroff()
    expect(printed(guest)).toMatch(/^1\n6\.\S+\n\/dev\/loop0\n2001\nwritten\n/)
    expect(readdirSync(join(root.folder, 'bin'))).toEqual(['busybox'])
  })

  test("the host's folders and files, each as writable as it was asked for", async () => {
    using shared = temporaryFolder()
    writeFileSync(join(shared.path, 'in'), 'from the host\n')
    await using guest = await shell(
      `echo '<<'; b cat /rw/in /etc/one; echo guest >/rw/out; (echo no >/ro/no) 2>/dev/null || echo refused
       b head -c 3 /host/etc/passwd; echo; (echo no >/host/tmp/no) 2>/dev/null || echo refused; ${OFF}`,
      {
        hostRoot: true,
        shares: [
          { host: shared.path, guest: '/rw', writable: true },
          { host: shared.path, guest: '/ro' },
          { host: join(shared.path, 'in'), guest: '/etc/one' },
        ],
      },
    )
    await guest.waitForPoweroff()
    const lines = 'from the host\nfrom the host\nrefused\n'
    expect(printed(guest)).toBe(`${lines}${readFileSync('/etc/passwd', 'utf8').slice(0, 3)}\nrefused\n`)
    expect(readFileSync(join(shared.path, 'out'), 'utf8')).toBe('guest\n')
  })

  test('disks: a new one, one that keeps what is written, one that forgets it, one that is read only', async () => {
    using shared = temporaryFolder()
    const [kept, forgotten] = ['kept', 'forgotten, with a comma'].map((name) => join(shared.path, name)) as [
      string,
      string,
    ]
    for (const file of [kept, forgotten]) writeFileSync(file, new Uint8Array(1 << 20))
    const disks: UmlOptions['disks'] = [
      { sizeBytes: 8 << 20 },
      { file: kept },
      { file: forgotten, access: 'cow' },
      { file: kept, access: 'ro' },
    ]
    await using guest = await shell(
      `echo '<<'; b mkdir /m; b mke2fs /dev/ubda >/dev/null && b mount /dev/ubda /m && echo disk >/m/file && b cat /m/file
       b umount /m; for d in b c; do echo mark >/dev/ubd$d; b sync; b head -c 4 /dev/ubd$d; echo; done
       (echo no >/dev/ubdd) 2>/dev/null || echo refused; ${OFF}`,
      { disks },
    )
    await guest.waitForPoweroff()
    expect(printed(guest)).toMatch(/disk\n[^]*mark\nmark\n[^]*refused\n/)
    expect(readFileSync(kept).subarray(0, 4).toString()).toBe('mark')
    expect(readFileSync(forgotten).every((byte) => byte === 0)).toBe(true)
    expect(statSync(kept).size).toBe(1 << 20)
  })

  test('console.write() types at its console', async () => {
    await using guest = await shell(`echo name?; read name; echo "hello $name"; ${OFF}`)
    await guest.console.waitFor(/name\?/)
    guest.console.write('guest\n')
    await guest.waitForPoweroff()
    expect(guest.console.text).toContain('hello guest')
  })
})

describe('how a guest ends', () => {
  test("the end of init is a panic, with init's exit status", async () => {
    await using guest = await shell('exit 3')
    const { reason, init, error, stderr } = await guest.exited
    expect({ reason, init, stderr }).toEqual({ reason: 'panic', init: { code: 3, signal: null }, stderr: '' })
    expect(error).toBeInstanceOf(GuestPanicError)
  })

  test('a panic of the kernel is told with its words', async () => {
    await using guest = await shell('echo c >/proc/sysrq-trigger')
    await expect(guest.waitForPoweroff()).rejects.toMatchObject({ panic: 'sysrq triggered crash' })
  })

  test('a PID 1 that is not there is a panic that names it', async () => {
    await using guest = await shell('', { program: '/sbin/init' })
    await expect(guest.waitForPoweroff()).rejects.toThrow(
      /failed: execute \/sbin\/init[^]*Attempted to kill init/,
    )
  })

  test('a reboot is told, or followed by a new life with a control stream of its own', async () => {
    await using once = await shell('b reboot -f; b sleep 9')
    expect(await once.exited).toMatchObject({ reason: 'reboot' })
    using shared = temporaryFolder()
    const controls = new Set<Duplex>()
    const script = `echo life >>/s/lives; [ $(b wc -l </s/lives) = 2 ] || b reboot -f; echo second; ${OFF}`
    await using guest = await shell(script, {
      onReboot: 'restart',
      onControl: (control) => controls.add(control),
      shares: [{ host: shared.path, guest: '/s', writable: true }],
    })
    await guest.waitForPoweroff()
    expect(guest.console.text).toContain('second\n')
    expect(controls.size).toBe(2)
  })

  test('kill() and reset() leave none of its processes', async () => {
    await using guest = await shell('echo up; b sleep 100 & while :; do :; done')
    await guest.console.waitFor(/up/)
    const first = [guest.pid, ...descendantsOf(guest.pid)]
    expect(first.length).toBeGreaterThan(3)
    await guest.reset()
    await guest.console.waitFor(/up[^]*up/)
    const second = [guest.pid, ...descendantsOf(guest.pid)]
    expect(await guest.kill()).toMatchObject({ reason: 'killed' })
    expect([...first, ...second].filter((pid) => stateOf(pid) !== undefined)).toEqual([])
  })

  test('a guest that hangs is told by the limit, one that is silent by the silence, each with its state', async () => {
    await using hung = await shell('echo up; while :; do :; done', { timeoutMs: 4_000 })
    const error = await hung.waitForPoweroff().catch((reason: unknown) => reason)
    expect(error).toBeInstanceOf(GuestTimeoutError)
    expect(String(error)).toMatch(/within 4 s \(the kernel (runs|sleeps), with \d+ processes of the host\)/)
    await using silent = await shell('b sleep 100', { silenceTimeoutMs: 3_000 })
    expect((await silent.exited).error).toMatchObject({ kind: 'silence' })
  })

  test('pause() stops it, and resume() lets it go on', async () => {
    await using guest = await shell('while :; do echo tick; b usleep 50000; done', {
      silenceTimeoutMs: 4_000,
    })
    await guest.console.waitFor(/tick/)
    await guest.pause()
    await new Promise((resolve) => setTimeout(resolve, 1_000))
    const { position } = guest.console
    await new Promise((resolve) => setTimeout(resolve, 1_000))
    expect(guest.console.position).toBe(position)
    await guest.resume()
    await guest.console.waitFor(/tick\n[^]*tick/, { from: position })
  })

  test('powerdown() says that there is no button', async () => {
    await using guest = await shell('b sleep 100')
    await expect(guest.powerdown()).rejects.toThrow(UnsupportedError)
  })

  test('a kernel that is not one is a crash, with its words', async () => {
    await using guest = await shell('', { uml: '/bin/false', modules: '/usr/lib' })
    const { reason, error } = await guest.exited
    expect(reason).toBe('crashed')
    expect(error).toBeInstanceOf(UmlCrashedError)
  })
})

/** A stand-in for the agent: sets the line raw, says hello, and answers with what it was sent. */
const ECHO = `import { openSync, readSync, writeSync } from 'node:fs'
import { spawnSync } from 'node:child_process'
const fd = openSync('/dev/ttyS0', 'r+')
spawnSync('/bin/busybox', ['stty', '-F', '/dev/ttyS0', 'raw', '-echo'])
const bytes = new Uint8Array(65536)
writeSync(fd, 'hello')
for (let size; (size = readSync(fd, bytes)) > 0; ) for (let at = 0; at < size; ) at += writeSync(fd, bytes, at, size - at)
`

test('onControl gives a serial line that carries every byte of three million, both ways, to a Bun that is PID 1', async () => {
  using folder = temporaryFolder()
  await bunRoot(folder.path)
  const sent = new Uint8Array(3_000_000).map((_, index) => (index * 7919) >> 5)
  const received: Uint8Array[] = []
  const echoed = Promise.withResolvers<void>()
  let size = 0
  await using guest = await startUml({
    folder: folder.path,
    program: '/bin/bun',
    args: ['/agent.js', '--control=tty:/dev/ttyS0'],
    timeoutMs: 240_000,
    onControl: (control) => {
      control.on('data', (bytes: Uint8Array) => {
        if (size === 0) control.write(sent)
        received.push(bytes)
        size += bytes.length
        if (size >= sent.length + 5) echoed.resolve()
      })
    },
  })
  await Promise.race([echoed.promise, guest.waitForPoweroff()])
  expect(Buffer.concat(received).subarray(0, 5).toString()).toBe('hello')
  expect(Buffer.concat(received).subarray(5).equals(sent)).toBe(true)
  await guest.kill()
})

/** A root with Bun, its libraries, busybox, and the stand-in for the agent. */
async function bunRoot(folder: string): Promise<void> {
  const programs = [{ source: realpathSync(process.execPath), path: '/bin/bun' }]
  for (const entry of await elfClosure({ programs, sysroot: '/' })) {
    mkdirSync(join(folder, dirname(entry.path)), { recursive: true })
    if (entry.type === 'symlink') symlinkSync(entry.target, join(folder, entry.path))
    else copyFileSync(entry.source, join(folder, entry.path))
  }
  copyFileSync('/bin/busybox', join(folder, 'bin/busybox'))
  writeFileSync(join(folder, 'agent.js'), ECHO)
}

test('startUml() measures how to compute RAID 6 only where it is wanted', async () => {
  const lines = async (raid6: boolean): Promise<string> => {
    await using guest = await shell(`echo '<<'; b dmesg | b grep -c 'raid6: using algorithm'; ${OFF}`, {
      raid6,
    })
    await guest.waitForPoweroff()
    return printed(guest).trim()
  }
  expect([await lines(false), await lines(true)]).toEqual(['0', '1'])
})

test('a guest with all its processes is gone after a SIGKILL to who started it, as nobody too', async () => {
  const program = [process.execPath, join(import.meta.dirname, 'uml-guest.ts'), root.folder]
  const nobody = ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups', ...program]
  for (const [file = '', ...args] of process.getuid?.() === 0 ? [program, nobody] : [program]) {
    const env = { ...process.env, HOME: '/tmp' }
    const parent = spawn(file, args, { stdio: ['ignore', 'pipe', 'inherit'], env })
    const line = await new Promise<string>((resolve) => {
      parent.stdout.once('data', (bytes: Uint8Array) => resolve(new TextDecoder().decode(bytes)))
    })
    const { pid } = JSON.parse(line) as { pid: number }
    const processes = [pid, ...descendantsOf(pid)]
    // unshare, the shell, the kernel, and what it traces.
    expect(processes.length).toBeGreaterThan(4)
    parent.kill('SIGKILL')
    const left = (): number[] => processes.filter((one) => !['Z', undefined].includes(stateOf(one)))
    await expect.poll(left).toEqual([])
  }
})

test('guests leave no process, no descriptor and no file, and the next start removes what a killed one left', async () => {
  const files = (): string[] =>
    readdirSync(tmpdir()).filter((name) => /^solo-guest-/.test(name) && name.includes(`-${process.pid}-`))
  const descriptors = (): number => readdirSync('/proc/self/fd').length
  const cycle = async (): Promise<void> => {
    await using guest = await shell('echo up; b sleep 100', {
      onControl: () => {},
      disks: [{ sizeBytes: 1 << 20 }],
    })
    await guest.console.waitFor(/up/)
    expect(files()).toHaveLength(1)
  }
  await cycle()
  const before = descriptors()
  await cycle()
  await expect.poll(descriptors).toBeLessThanOrEqual(before)
  expect(childrenOf(process.pid)).toEqual([])
  expect(files()).toEqual([])
})
