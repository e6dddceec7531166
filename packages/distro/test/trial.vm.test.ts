// A real disk under UEFI firmware, driven by the `solo` command as its owner would: a restart into a new release that a
// service refuses, one that it does not, a trial that waits to be confirmed, the way back, and a factory reset. Beside
// that: limits of services, and the time from a network.
import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import type { QemuMachine } from '@pkg/vm/qemu'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { DeviceStatus } from '../src/agent/bodies.ts'
import { buildAppliance, type BuildResult } from '../src/build.ts'
import type { ApplianceConfig, ServiceConfig } from '../src/config.ts'
import { powerOff } from '../src/run.ts'
import { makeKey } from './support/agent.ts'
import { BOOT_MS, fillSlotB, hardware, mtools, startMachine } from './support/disk-machine.ts'
import { testFolder } from './support/folder.ts'
import { ask, eventually } from './support/guest.ts'
import { fixture, writeProject } from './support/project.ts'
import { atTerminal } from './support/pty.ts'

const PORT = 8080
const AGENT = 8443

const root = testFolder()
const key = makeKey(root.path, 'owner')
const keys = [readFileSync(`${key}.pub`, 'utf8').trim()]

const bun = (script: string, limits: NonNullable<ServiceConfig['limits']>): Omit<ServiceConfig, 'name'> => ({
  ...{ command: ['/bin/bun', '-e', script], limits, restart: 'never', required: false },
})

const config: ApplianceConfig = {
  name: 'trial',
  services: [
    {
      ...{ name: 'controller', entry: fixture('appliance/controller.ts'), user: 'root', ports: [PORT] },
      beforeUpdate: { entry: fixture('appliance/before-update.ts') },
    },
    {
      name: 'glutton',
      ...bun('const all = []; for (;;) all.push(new Uint8Array(2 ** 20).fill(1))', { memoryMaxMiB: 64 }),
    },
    { name: 'crowd', ...bun('new Worker("data:text/javascript,")', { tasksMax: 1 }) },
  ],
  timeServers: ['127.0.0.1'],
  agent: { keys },
  updates: { release: { keys }, gate: { confirm: true, stableMs: 1000, timeoutMs: 600_000 } },
}

let first: BuildResult
let second: BuildResult

beforeAll(async () => {
  const build = async (version: string, release: number): Promise<BuildResult> => {
    const project = writeProject(join(root.path, version), { ...config, release, version })
    return await buildAppliance(project, { format: 'disk' })
  }
  first = await build('1.0', 1)
  second = await build('2.0', 2)
}, 240_000)

afterAll(() => root[Symbol.dispose]())

const env = { SOLO_KEY: key, SOLO_DEVICES: join(root.path, 'devices.json') }
const solo = [process.execPath, fileURLToPath(new URL('../src/solo.ts', import.meta.url))]

interface Said {
  readonly status: number
  readonly stdout: string
  readonly stderr: string
}

/** Runs the command to its end. */
async function command(...args: string[]): Promise<Said> {
  const [file = '', ...more] = [...solo, ...args]
  const ended = promisify(execFile)(file, more, { env: { ...process.env, ...env } })
  return await ended.then(
    (said) => ({ status: 0, ...said }),
    (error: Said & { code: number }) => ({ status: error.code, stdout: error.stdout, stderr: error.stderr }),
  )
}

function addressOf(vm: QemuMachine): string {
  return `127.0.0.1:${vm.forwards.find(({ guestPort }) => guestPort === AGENT)?.hostPort}`
}

const fingerprints = (vm: QemuMachine): string[] =>
  [...vm.console.text.matchAll(/https on port 8443, certificate SHA-256 ([0-9A-F:]{95})/g)].map(
    ([, fingerprint = '']) => fingerprint,
  )

const text = async (vm: QemuMachine, path: string): Promise<string> =>
  await (await ask(vm, PORT, path)).text()

/** What services may take, on a kernel with all controllers. */
async function seesLimits(vm: QemuMachine): Promise<void> {
  await vm.console.waitFor(/init: glutton: killed: it needed more memory than its limit of 64 MiB/, {
    timeoutMs: BOOT_MS,
  })
  await vm.console.waitFor(/init: crowd: \d+ tasks were not started: its limit is 1/, { timeoutMs: BOOT_MS })
  const ofAgent = async (file: string): Promise<number> =>
    Number(await text(vm, `/file?path=/sys/fs/cgroup/solo/agent/${file}`))
  expect([await ofAgent('memory.max'), await ofAgent('pids.max')]).toEqual([128 * 1024 * 1024, 64])
  expect(await text(vm, '/file?path=/sys/fs/cgroup/solo/agent/memory.events')).toMatch(/^oom_kill 0$/m)
  process.stdout.write(`the agent holds ${((await ofAgent('memory.current')) / 2 ** 20).toFixed(1)} MiB\n`)
}

test('its owner restarts it into a release, confirms that, goes back, and resets it', async () => {
  const machine = hardware(root.path, first.disk ?? '')
  fillSlotB(root.path, machine.disk, first, second)
  mtools(first, machine.disk, 'mren', '::/EFI/Linux/solob+3-0.efi', '::/EFI/Linux/solob+0-3.efi')
  await using vm = await startMachine(machine, PORT, AGENT)
  const device = addressOf(vm)
  const status = async (): Promise<DeviceStatus> =>
    JSON.parse((await command('status', device, '--json')).stdout) as DeviceStatus
  /** Waits until it has restarted and a release is kept, or waits to be. */
  const boots = async (blessed: boolean, slot: string): Promise<DeviceStatus> =>
    await eventually(
      status,
      ({ machine: { boot, ready } }) => ready && boot.slot === slot && boot.blessed === blessed,
      2 * BOOT_MS,
    )

  await vm.console.waitFor(/boot blessed: soloa/, { timeoutMs: BOOT_MS })
  await vm.console.waitFor(/agent: https on port/, { timeoutMs: BOOT_MS })
  await seesLimits(vm)
  const [fingerprint = ''] = fingerprints(vm)
  expect((await command('rollback', device, '--fingerprint', fingerprint)).stderr).toContain(
    'there is no other slot to go back to',
  )
  expect((await command('commit', device)).stderr).toContain('there is no trial')
  // The machine's clock is this host's; the time server in it is years ahead.
  await eventually(status, ({ machine: { boot } }) => boot.clock === 'sntp')
  expect(Number(await text(vm, '/time'))).toBeGreaterThanOrEqual(Date.UTC(2031, 0, 1))

  await isRefusedByAService(vm, device)
  expect((await status()).machine).toMatchObject({ shutdown: null, boot: { slot: 'solo-a' } })
  expect(await text(vm, '/free')).toBe('free')
  expect(await command('reboot', device)).toMatchObject({ status: 0, stdout: `${device}: restarts\n` })

  await vm.console.waitFor(/gate: a trial of 2\.0 \(2\), 600000 ms to pass/, { timeoutMs: BOOT_MS })
  const trial = await boots(false, 'solo-b')
  expect(trial.machine.boot).toMatchObject({ trial: true, release: { version: '2.0', counter: 2 } })
  expect(await text(vm, '/file?path=/var/lib/told')).toBe('2.0')
  await eventually(status, ({ machine: { gate } }) => gate?.reason.includes('confirm') === true)
  expect((await command('status', device)).stdout).toMatch(/^slot +solo-b, on trial$/m)
  expect(await command('commit', device)).toMatchObject({ status: 0 })
  await vm.console.waitFor(/boot blessed: solob/, { timeoutMs: BOOT_MS })
  expect((await boots(true, 'solo-b')).machine.boot.counterFloor).toBe(2)

  expect(await command('rollback', device)).toMatchObject({
    status: 0,
    stdout: `${device}: restarts into the other slot\n`,
  })
  const back = await boots(true, 'solo-a')
  expect(back.machine.boot).toMatchObject({
    ...{ release: { version: '1.0' }, counterFloor: 2 },
    lastRollback: { from: { slot: 'solo-b', version: '2.0', counter: 2 } },
  })
  const why = /2\.0 \(solo-b\) was given up .*: given up by hand, by process \d+ of user \d+/
  expect((await command('status', device)).stdout).toMatch(why)
  expect(vm.console.text).toMatch(
    /solo-b \(2\.0\) was given up: given up by hand, by process \d+ of user \d+/,
  )

  await resetsByHand(vm, device)
  await powerOff(vm)
  const entries = mtools(first, machine.disk, 'mdir', '-b', '::/EFI/Linux').trim().split('\n').toSorted()
  expect(entries).toEqual(['::/EFI/Linux/soloa+3-0.efi', '::/EFI/Linux/solob+0-3.efi'])
}, 900_000)

/** The other slot has a release, and the hook of a service says no. */
async function isRefusedByAService(vm: QemuMachine, device: string): Promise<void> {
  await eventually(
    () => text(vm, '/arm'),
    (answer) => answer === 'armed',
  )
  expect(await text(vm, '/keep')).toBe('kept')
  const refused = await command('reboot', device)
  expect(refused).toMatchObject({ status: 1, stdout: '' })
  expect(refused.stderr).toMatch(/controller.*has failed: exited with status 1/)
  expect(vm.console.text).toContain('a print job is under way')
}

/** All data are lost by it, so the command asks; and the device is another one then. */
async function resetsByHand(vm: QemuMachine, device: string): Promise<void> {
  expect(await command('reset', device)).toMatchObject({
    status: 1,
    stderr: expect.stringContaining("is not reset: type the appliance's name, or give --yes") as string,
  })
  const reset = async (answer: string): Promise<{ status: number | null; text: string }> => {
    const terminal = atTerminal([...solo, 'reset', device], env)
    await terminal.waitFor(/Type the appliance's name \(trial\) to go on: /)
    terminal.type(answer)
    return await terminal.ended
  }
  expect(await reset('yes')).toMatchObject({
    status: 1,
    text: expect.stringContaining('is not reset') as string,
  })
  expect(await text(vm, '/kept')).toBe('true')
  const before = vm.console.text.length
  expect(await reset('trial')).toMatchObject({ status: 0 })
  await eventually(
    () => Promise.resolve(vm.console.text.slice(before)),
    (shown) => /data partition: \S+, formatted/.test(shown) && /https on port 8443/.test(shown),
    2 * BOOT_MS,
  )
  expect(vm.console.text.slice(before)).toMatch(/factory reset: the next boot formats \/dev\/sda4/)
  expect(
    await eventually(
      () => text(vm, '/kept'),
      (kept) => kept === 'false',
    ),
  ).toBe('false')
  const stranger = await command('status', device)
  expect(stranger.stderr).toMatch(/another machine, or the device was reset/)
  const { stdout } = await command('status', device, '--fingerprint', fingerprints(vm).at(-1) ?? '')
  expect(stdout).toMatch(/^slot +solo-a/m)
  expect(stdout).toMatch(/^floor +releases from 2 on are taken$/m)
}
