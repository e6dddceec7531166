// An appliance of four versions on one disk under UEFI firmware: the second is pushed by `solo update`, the third lies on
// a stick, the fourth comes by a channel from Debian's registry. And the first again with little memory.
import { execFile } from 'node:child_process'
import { copyFileSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { startQemu, type QemuMachine } from '@pkg/vm/qemu'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { DeviceStatus } from '../src/agent/bodies.ts'
import { buildAppliance, type BuildResult } from '../src/build.ts'
import type { ApplianceConfig } from '../src/config.ts'
import { readyLine, startAppliance } from '../src/run.ts'
import { makeKey } from './support/agent.ts'
import { CPUS } from './support/disk-machine.ts'
import { testFolder } from './support/folder.ts'
import { ask, askJson, eventually } from './support/guest.ts'
import { writeProject } from './support/project.ts'
import { type Registry, startRegistry } from '../../update/test/support/registry.ts'

const PAGE = 8080
const AGENT = 8443
const BOOT_MS = 300_000
/** Compare, write and read back a root of more than a hundred megabytes, and boot it, all without KVM. */
const UPDATE_MS = 400_000

const run = promisify(execFile)
const path = (relative: string): string => fileURLToPath(new URL(relative, import.meta.url))

const root = testFolder()
const key = makeKey(root.path, 'owner')
let registry: Registry
let first: BuildResult

/** The project of a version. Each has a folder of its own: a build takes the place of the one before. */
function project(version: string, release: number): string {
  return writeProject(join(root.path, version), config(version, release))
}

/** The appliance of a version, its web service that of examples/hello. */
function config(version: string, release: number): ApplianceConfig {
  const keys = [readFileSync(`${key}.pub`, 'utf8').trim()]
  const probe = { http: { port: PAGE, path: '/healthz' } }
  return {
    ...{ name: 'kiosk', version, release },
    services: [
      {
        ...{ name: 'web', entry: path('../../../examples/hello/src/server.ts'), ports: [PAGE] },
        ...{ ready: probe, health: probe },
      },
    ],
    agent: { keys },
    updates: {
      release: { keys },
      channel: { keys, url: `oci+http://10.0.2.2:${registry.port}/kiosk`, pollMinutes: 1 },
      gate: { stableMs: 3000 },
    },
  }
}

beforeAll(async () => {
  registry = await startRegistry(join(root.path, 'registry'))
  first = await buildAppliance(project('1.0', 1), { format: 'disk' })
}, 240_000)

afterAll(() => {
  registry[Symbol.dispose]()
  root[Symbol.dispose]()
})

/** Runs the command; what it prints is JSON. */
async function solo<T>(...args: string[]): Promise<T> {
  const env = { ...process.env, SOLO_KEY: key, SOLO_DEVICES: join(root.path, 'devices.json') }
  const { stdout } = await run(process.execPath, [path('../src/solo.ts'), ...args, '--json'], { env })
  return JSON.parse(stdout) as T
}

function addressOf(vm: QemuMachine): string {
  const forward = vm.forwards.find(({ guestPort }) => guestPort === AGENT)
  return `127.0.0.1:${forward?.hostPort}`
}

/** The fingerprint that the console shows. */
async function shownFingerprint(vm: QemuMachine): Promise<string> {
  const [, fingerprint = ''] = await vm.console.waitFor(
    /agent: https on port 8443, certificate SHA-256 ([0-9A-F:]{95})/,
    {
      timeoutMs: BOOT_MS,
    },
  )
  return fingerprint
}

const version = (text: string, counter: number, slot: string): RegExp =>
  new RegExp(`<dd>\\s*${text}<small>release ${counter}, ${slot}, kept</small>`)

/** Waits for the page to show a version. */
async function page(vm: QemuMachine, shown: RegExp): Promise<void> {
  await eventually(
    async () => await (await ask(vm, PAGE, '/')).text(),
    (text) => shown.test(text),
    UPDATE_MS,
  )
}

/** Makes a release in a folder of its own. */
async function makeRelease(text: string, counter: number, ...more: string[]): Promise<string> {
  const out = join(root.path, `release-${counter}`)
  await solo('release', project(text, counter), '--out', out, '--key', key, '--level', '1', ...more)
  return out
}

/** A stick with a release: one FAT file system, without partitions. */
async function makeStick(release: string): Promise<string> {
  const image = join(root.path, 'stick.img')
  await run('mkfs.vfat', ['-F', '32', '-n', 'RELEASES', '-C', image, String(512 * 1024)])
  const names = readdirSync(release).map((name) => join(release, name))
  await run('mcopy', ['-s', '-i', image, ...names, '::'])
  return image
}

test('from version 1 to 2 by push, to 3 by a stick, and to 4 by a channel of a registry', async () => {
  const stick = await makeStick(await makeRelease('3.0', 3))
  const [disk, variables] = [join(root.path, 'disk.img'), join(root.path, 'variables.fd')]
  await run('cp', ['--sparse=always', first.disk ?? '', disk])
  copyFileSync('/usr/share/OVMF/OVMF_VARS_4M.fd', variables)
  await using vm = await startQemu({
    firmware: { code: '/usr/share/OVMF/OVMF_CODE_4M.fd', variables, writable: true },
    disks: [
      { name: 'main', file: disk, writable: true },
      { name: 'stick', file: stick },
    ],
    networks: [{ kind: 'user', forwards: [PAGE, AGENT].map((guestPort) => ({ hostPort: 0, guestPort })) }],
    ...{ cpus: CPUS, onReboot: 'restart', onPanic: 'ignore', timeoutMs: 3 * UPDATE_MS },
  })
  const device = addressOf(vm)
  const fingerprint = await shownFingerprint(vm)
  await vm.console.waitFor(/boot blessed: soloa/, { timeoutMs: BOOT_MS })
  await page(vm, version('1\\.0', 1, 'solo-a'))
  const before = await solo<DeviceStatus>('status', device, '--fingerprint', fingerprint)
  expect(before.slots).toMatchObject([
    { slot: 'solo-a', running: true, version: '1.0', counter: 1, triesLeft: 3 },
    { slot: 'solo-b', condition: 'empty' },
  ])

  const pushed = await solo<{ fetchedBytes: number }>('update', device, project('2.0', 2), '--wait')
  expect(pushed).toMatchObject({ device, version: '2.0', counter: 2, slot: 'solo-b', outcome: 'kept' })
  process.stdout.write(`pushed: ${pushed.fetchedBytes} bytes of ${first.manifest.disk?.root.sizeBytes}\n`)
  expect(pushed.fetchedBytes).toBeLessThan(8 * 1024 * 1024)
  await page(vm, version('2\\.0', 2, 'solo-b'))
  const { machine, slots } = await solo<DeviceStatus>('status', device)
  expect(machine.boot).toMatchObject({ slot: 'solo-b', blessed: true, counterFloor: 2, lastRollback: null })
  expect(slots).toMatchObject([
    { slot: 'solo-b', running: true, version: '2.0', counter: 2, triesLeft: 3 },
    { slot: 'solo-a', condition: 'whole', version: '1.0', counter: 1, triesLeft: 3 },
  ])

  const from = vm.console.position
  const offer = async (): Promise<void> => {
    await vm.console.waitFor(/agent: \/v1\/reboot was asked for/, { from, timeoutMs: UPDATE_MS })
    const channel = ['--channel', 'stable', '--expires', '1d']
    await makeRelease('4.0', 4, ...channel, '--push', `oci://127.0.0.1:${registry.port}/kiosk`)
  }
  // The channel has its release when 3.0 looks for the first time, within a minute: the next time is a minute later.
  const [carried] = await Promise.all([solo('update', device, '--stick', '--wait'), offer()])
  expect(carried).toMatchObject({ version: '3.0', counter: 3, slot: 'solo-a', outcome: 'kept' })
  await page(vm, version('3\\.0', 3, 'solo-a'))

  await vm.console.waitFor(/agent: channel stable: the channel has 4\.0/, { timeoutMs: BOOT_MS })
  await vm.console.waitFor(/agent: restarting into 4\.0/, { timeoutMs: UPDATE_MS })
  await page(vm, version('4\\.0', 4, 'solo-b'))
  const after = await solo<DeviceStatus>('status', device)
  expect(after.machine.boot).toMatchObject({ slot: 'solo-b', counterFloor: 4 })
}, 1_200_000)

/** What /machine.json tells of each process. */
interface Processes {
  readonly processes: readonly { name: string; service: string | null; role: string; residentBytes: number }[]
  readonly memory: { readonly availableBytes: number; readonly totalBytes: number }
}

describe('with 128 MB', () => {
  test('agent and service answer, and what each process holds is printed', async () => {
    const forwards = [PAGE, AGENT].map((guest) => ({ host: 0, guest }))
    await using vm = await startAppliance(first, {
      ...{ direct: true, memoryMiB: 128, forwards, timeoutMs: 2 * BOOT_MS },
    })
    await vm.console.waitFor(readyLine, { timeoutMs: BOOT_MS })
    const fingerprint = await shownFingerprint(vm)
    const { machine, slots } = await solo<DeviceStatus>('status', addressOf(vm), '--fingerprint', fingerprint)
    expect(machine.services.map(({ name, ready }) => [name, ready])).toEqual([
      ['web', true],
      ['updater', true],
      ['agent', true],
    ])
    // By the kernel alone it is not known which slot was booted.
    expect(slots).toBeNull()
    const { processes, memory } = await askJson<Processes>(vm, PAGE, '/machine.json')
    const mebibytes = (bytes: number): string => `${(bytes / 1024 / 1024).toFixed(1)} MiB`
    const held = processes
      .filter(({ role }) => role !== 'kernel')
      .map(({ name, service, residentBytes }) => `${service ?? name} ${mebibytes(residentBytes)}`)
    const { availableBytes, totalBytes } = memory
    process.stdout.write(
      `128 MB: ${held.join(', ')} resident; ${mebibytes(availableBytes)} of ${mebibytes(totalBytes)} available\n`,
    )
  }, 300_000)
})
