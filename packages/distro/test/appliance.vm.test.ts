// One appliance, booted once, and many things seen through it: what init promises, on the real kernel.
import { isMountPoint, parseMountinfo } from '@pkg/mount/mountinfo'
import { GuestPanicError } from '@pkg/vm/errors'
import type { QemuMachine } from '@pkg/vm/qemu'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { buildAppliance, type BuildResult } from '../src/build.ts'
import type { ApplianceConfig } from '../src/config.ts'
import { powerOff, readyLine, startAppliance } from '../src/run.ts'
import type { Machine, Orphans, ProcessRow } from './fixtures/appliance/probe.ts'
import type { Self } from './fixtures/appliance/web.ts'
import { testFolder } from './support/folder.ts'
import { ask, askJson, eventually, stampMs } from './support/guest.ts'
import { fixture, writeProject } from './support/project.ts'

const WEB = 8080
const PROBE = 8081
const STOP_TIMEOUT_MS = 1500

const config: ApplianceConfig = {
  name: 'many-things',
  // The kernel gives such words to its first program as environment variables.
  commandLine: ['LD_PRELOAD=/nowhere.so', 'BUN_OPTIONS=--not-an-option', 'BUN_CONFIG_VERBOSE_FETCH=1'],
  services: [
    { name: 'probe', entry: fixture('appliance/probe.ts'), user: 'root', ports: [PROBE] },
    {
      name: 'web',
      entry: fixture('appliance/web.ts'),
      ports: [WEB],
      environment: { COLOUR: 'green' },
      after: ['probe'],
    },
    {
      name: 'stubborn',
      command: [
        '/bin/busybox',
        'sh',
        '-c',
        "trap '' TERM; echo deaf; while :; do /bin/busybox sleep 9; done",
      ],
      stopTimeoutMs: STOP_TIMEOUT_MS,
      after: ['web'],
    },
  ],
  files: [{ from: '/bin/busybox', to: '/bin/busybox' }],
}

const root = testFolder()
const leaseMs: number[] = []
let built: BuildResult
let vm: QemuMachine

/** Boots until the services answer. */
async function start(): Promise<QemuMachine> {
  const forwards = [WEB, PROBE].map((guest) => ({ host: 0, guest }))
  const started = await startAppliance(built, { forwards, timeoutMs: 240_000 })
  await started.console.waitFor(readyLine, { timeoutMs: 120_000 })
  const lease = await started.console.waitFor(/10\.0\.2\.15\/24 \(([\d.]+) ms from carrier to ACK\)/)
  leaseMs.push(Number(lease[1]))
  for (const port of [WEB, PROBE])
    await eventually(
      async () => ask(started, port, '/'),
      () => true,
    )
  return started
}

function machine(): Promise<Machine> {
  return askJson<Machine>(vm, PROBE, '/machine')
}

function webSelf(): Promise<Self> {
  return askJson<Self>(vm, WEB, '/self')
}

/** A whole line of the console. */
function lineOf(source: string, text: string): RegExp {
  return new RegExp(String.raw`^\[ *\d+\.\d{6}\] ${source}: ${text}$`, 'm')
}

function processOf(rows: readonly ProcessRow[], service: string): ProcessRow | undefined {
  return rows.find(({ cgroup, parent }) => parent === 1 && cgroup.endsWith(`/${service}`))
}

beforeAll(async () => {
  built = await buildAppliance(writeProject(root.path, config))
  vm = await start()
})

afterAll(async () => {
  await vm?.kill()
  root[Symbol.dispose]()
  // Shown, not judged: the host is busy with other things during tests.
  process.stdout.write(`DHCP: ${leaseMs.join(', ')} ms from carrier to ACK\n`)
})

describe('the boot', () => {
  test('init is the Bun of the image, without one variable of the kernel command line', async () => {
    const { init, initEnvironment, commandLine, processes } = await machine()
    expect(init).toBe('/bin/bun')
    for (const word of config.commandLine ?? []) {
      expect(commandLine.split(' ')).toContain(word)
      expect(initEnvironment).not.toContain(word)
    }
    expect(processes.find(({ pid }) => pid === 1)?.parent).toBe(0)
    expect(vm.console.text).not.toContain('nowhere.so')
  })

  test('init mounts every API file system with the options that keep it harmless', async () => {
    const mounts = parseMountinfo((await machine()).mountinfo)
    const wanted: [target: string, type: string, options: string[]][] = [
      ['/proc', 'proc', ['nosuid', 'nodev', 'noexec']],
      ['/sys', 'sysfs', ['nosuid', 'nodev', 'noexec']],
      ['/dev', 'devtmpfs', ['nosuid']],
      ['/dev/pts', 'devpts', ['nosuid', 'noexec']],
      ['/dev/shm', 'tmpfs', ['nosuid', 'nodev']],
      ['/run', 'tmpfs', ['nosuid', 'nodev']],
      ['/tmp', 'tmpfs', ['nosuid', 'nodev']],
      ['/sys/fs/cgroup', 'cgroup2', ['nosuid', 'nodev', 'noexec']],
    ]
    for (const [target, type, options] of wanted) {
      expect(isMountPoint(mounts, target), target).toBe(true)
      const mounted = mounts.filter((mount) => mount.target === target)
      expect(mounted, target).toMatchObject([{ type }])
      expect(mounted[0]?.options.split(','), target).toEqual(expect.arrayContaining(options))
    }
  })

  test('init says that it is ready once, with no failed step, no failed service and its resident memory', () => {
    const ready = [...vm.console.text.matchAll(new RegExp(readyLine, 'g'))]
    expect(ready).toHaveLength(1)
    const [, , running, failed, failures, residentMiB] = ready[0] ?? []
    expect({ running, failed, failures }).toEqual({ running: '3', failed: '0', failures: undefined })
    expect(Number(residentMiB)).toBeGreaterThan(5)
    expect(Number(residentMiB)).toBeLessThan(200)
    expect(vm.console.text).not.toMatch(/cannot mount|going on without it|uncaught|unhandled/)
  })

  test('services are started in the order of their `after`', () => {
    const started = [...vm.console.text.matchAll(/init: (\w+): started as process/g)].map(([, name]) => name)
    expect(started.slice(0, 3)).toEqual(['probe', 'web', 'stubborn'])
  })
})

describe('a running service', () => {
  test('a service serves its page as a user of its own, with a clean environment and no new privileges', async () => {
    const page = await ask(vm, WEB, '/')
    expect(page.status).toBe(200)
    expect(await page.text()).toContain('<title>The appliance</title>')
    const { uid, gid, ppid, cwd, environment, status } = await webSelf()
    expect(uid).toBe(built.manifest.services.find(({ name }) => name === 'web')?.uid)
    expect(uid).toBeGreaterThanOrEqual(61_184)
    expect({ gid, ppid, cwd }).toEqual({ gid: uid, ppid: 1, cwd: '/' })
    expect(status).toMatch(/^NoNewPrivs:\t1$/m)
    expect(status).toMatch(/^Groups:\t\s*$/m)
    expect(status).toMatch(/^CapEff:\t0+$/m)
    expect(Object.keys(environment).toSorted()).toEqual(['COLOUR', 'HOME', 'PATH', 'PORT'])
  })

  test('services live in control groups of their own, and PID 1 in none of them', async () => {
    const { processes } = await machine()
    const groups = ['probe', 'web', 'stubborn'].map((name) => processOf(processes, name)?.cgroup)
    expect(new Set(groups).size).toBe(3)
    expect(groups).not.toContain(undefined)
    expect(groups).not.toContain(processes.find(({ pid }) => pid === 1)?.cgroup)
    const { pid, cgroup } = await webSelf()
    expect(processOf(processes, 'web')?.pid).toBe(pid)
    expect(cgroup.trim()).toBe(`0::${groups[1]}`)
  })

  test('lines of standard output and standard error are on the console under the name of the service', async () => {
    const from = vm.console.position
    expect((await ask(vm, WEB, '/say')).status).toBe(200)
    for (const line of ['to the output', 'with a second line', 'to the error']) {
      await vm.console.waitFor(lineOf('web', line), { from })
    }
  })

  test('a service that was killed comes back as a new process, and the console says why', async () => {
    const before = await webSelf()
    await ask(vm, WEB, '/say')
    const from = vm.console.position
    await expect(ask(vm, WEB, '/die')).rejects.toThrow()
    await vm.console.waitFor(lineOf('web', 'unfinished'), { from })
    await vm.console.waitFor(/init: web: killed by SIGKILL after \d+ ms; starting again in \d+ ms/, { from })
    const [, pid] = await vm.console.waitFor(/init: web: started as process (\d+)\n/, { from })
    const after = await eventually(webSelf, (self) => self.pid !== before.pid)
    expect(after).toMatchObject({ pid: Number(pid), uid: before.uid, cgroup: before.cgroup })
  })
})

describe('orphans', () => {
  test('200 orphans that end at once leave no zombie', async () => {
    const isOrphan = ({ name, parent, cgroup }: ProcessRow): boolean =>
      name === 'busybox' && parent === 1 && cgroup.endsWith('/probe')
    expect(await askJson<Orphans>(vm, PROBE, '/orphans')).toEqual({ code: 0 })
    expect((await machine()).processes.filter(isOrphan)).toHaveLength(200)
    await ask(vm, PROBE, '/release')
    const left = async (): Promise<ProcessRow[]> =>
      (await machine()).processes.filter((row) => row.state === 'Z' || isOrphan(row))
    await eventually(left, ({ length }) => length === 0)
  })
})

describe('the end', () => {
  test('a service that ignores SIGTERM is killed at its time, the others end in reverse order, and the machine powers off', async () => {
    const from = vm.console.position
    await powerOff(vm, 120_000)
    expect((await vm.waitForPoweroff()).reason).toBe('poweroff')
    const text = vm.console.text.slice(from - vm.console.droppedChars)
    const stopped = [...text.matchAll(/init: (\w+): stopped, (.*)/g)].map(([, name, how]) => [name, how])
    expect(stopped.map(([name]) => name)).toEqual(['stubborn', 'web', 'probe'])
    expect(stopped[0]?.[1]).toBe('killed by SIGKILL')
    const askedMs = stampMs(text, /init: shutting down: power-off/)
    const killedMs = stampMs(text, /init: stubborn: still running 1500 ms after SIGTERM, killing its cgroup/)
    expect(killedMs - askedMs).toBeGreaterThanOrEqual(STOP_TIMEOUT_MS - 1)
    expect(text).toMatch(/init: power-off now/)
    expect(text).not.toMatch(/no time left|EBUSY|init: .*: E[A-Z]+:/)
  })

  test('a panic fails the run with GuestPanicError and the last lines of the console', async () => {
    await using doomed = await start()
    const ended = doomed.waitForPoweroff()
    const answer = ask(doomed, PROBE, '/panic').catch((error: unknown) => error)
    const error = await ended.then(
      () => undefined,
      (reason: unknown) => reason,
    )
    expect(error).toBeInstanceOf(GuestPanicError)
    expect(error).toMatchObject({ panic: expect.stringContaining('sysrq triggered crash') as string })
    expect((error as GuestPanicError).message).toMatch(/The console's last lines:\n(.*\n)*.*Kernel panic/)
    expect(await answer).toBeInstanceOf(Error)
  })
})
