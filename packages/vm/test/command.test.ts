// The command's words: what flags are read as, and which machine and program they plan.
import { describe, expect, test } from 'vitest'
import { programEnvironment } from '../src/cli/environment.ts'
import { type Flags, plan, type Surroundings, UsageError } from '../src/cli/plan.ts'
import { machineStatus, programStatus, spawnStatus } from '../src/cli/status.ts'
import {
  parseDisk,
  parseDuration,
  parseForward,
  parseGdb,
  parseKernel,
  parseMemory,
  parseShare,
  parseVariable,
} from '../src/cli/values.ts'
import { GuestTimeoutError } from '../src/errors.ts'
import { defaults, host } from './command-flags.ts'

describe('values of flags', () => {
  test.each([
    [parseMemory, '512', 512],
    [parseMemory, '1G', 1024],
    [parseMemory, '1.5GiB', 1536],
    [parseDisk, '1G', { sizeBytes: 2 ** 30 }],
    [parseDisk, 'a:b.img', { file: 'a:b.img', format: 'raw', writable: true }],
    [parseDisk, 'x.qcow2:ro', { file: 'x.qcow2', format: 'qcow2', readOnly: true }],
    [parseDisk, './1G', { file: './1G', format: 'raw', writable: true }],
    [parseShare, '.', { host: '.', guest: undefined, readOnly: false }],
    [parseShare, 'data:/srv:ro', { host: 'data', guest: '/srv', readOnly: true }],
    [parseForward, '8080:80', { hostPort: 8080, guestPort: 80, protocol: 'tcp' }],
    [parseForward, '0:53/udp', { hostPort: 0, guestPort: 53, protocol: 'udp' }],
    [parseForward, '443', { hostPort: 443, guestPort: 443, protocol: 'tcp' }],
    [parseDuration, '60', 60_000],
    [parseDuration, '1.5s', 1500],
    [parseDuration, '200ms', 200],
    [parseDuration, '2h', 7_200_000],
    [parseVariable, 'A', { name: 'A', value: undefined }],
    [parseVariable, 'A=', { name: 'A', value: '' }],
    [parseVariable, 'A=b=c\nd', { name: 'A', value: 'b=c\nd' }],
    [parseKernel, 'linux-image-cloud-amd64', { package: 'linux-image-cloud-amd64' }],
    [parseKernel, './bzImage', { image: './bzImage' }],
    [parseGdb, '', true],
    [parseGdb, '1234', 1234],
    [parseGdb, 'wait', 'wait'],
  ] as const)('%o reads %j', (parse: (text: string) => unknown, text, value) => {
    expect(parse(text)).toEqual(value)
  })

  test.each([
    [parseMemory, ['', '0', 'much', '1.5', '-1', '1K']],
    [parseDisk, ['', '1', '0G', '0.3K', ':ro']],
    [parseShare, ['', ':ro', 'a:b', 'a:', 'a:/b:/c']],
    [parseForward, ['', '0', '1:0', '65536', 'a:b', '80:80/sctp']],
    [parseDuration, ['', '0', 'soon', '-1s', '1d', '25000h']],
    [parseVariable, ['', '=x']],
    [parseKernel, ['', 'Image', '-x']],
    [parseGdb, ['0', 'x', '65536']],
  ] as const)('%o refuses what it cannot read', (parse: (text: string) => unknown, texts) => {
    for (const text of texts) expect(() => parse(text), text).toThrow(SyntaxError)
  })
})

describe('plan()', () => {
  test("plan() shares the current folder, runs in it, and has the host's programs", () => {
    expect(plan(defaults, ['make', '-k'], host)).toEqual({
      boot: {
        backend: 'qemu',
        timeoutMs: Number.POSITIVE_INFINITY,
        snapshot: true,
        root: 'host',
        shares: [{ host: '/home/x', guest: '/home/x', writable: true }],
      },
      file: 'make',
      args: ['-k'],
      folder: '/home/x',
      tty: false,
    })
  })

  test('plan() lets --share for the same place win, and takes relative folders', () => {
    const share = [parseShare('../y:/home/x:ro'), parseShare('sub:/srv')]
    expect(plan({ ...defaults, share }, ['true'], host).boot.shares).toEqual([
      { host: '/home/y', guest: '/home/x', writable: false },
      { host: '/home/x/sub', guest: '/srv', writable: true },
    ])
    expect(plan({ ...defaults, noShare: true }, ['true'], host).boot.shares).toEqual([])
    expect(plan({ ...defaults, readOnly: true }, ['true'], host).boot.shares).toEqual([
      { host: '/home/x', guest: '/home/x', writable: false },
    ])
  })

  test('plan() makes a card for forwards and captures', () => {
    const forward = [parseForward('8080:80')]
    expect(plan({ ...defaults, forward, capture: '/tmp/x.pcap' }, ['true'], host).boot.networks).toEqual([
      { kind: 'user', forwards: forward, capture: '/tmp/x.pcap' },
    ])
    expect(plan({ ...defaults, network: 'none' }, ['true'], host).boot.networks).toBeUndefined()
  })

  test('plan() boots a machine to be debugged anew, and does not take it for hung', () => {
    const { boot } = plan({ ...defaults, gdb: true }, ['true'], host)
    expect(boot).toMatchObject({ gdb: true, hangTimeoutMs: Number.POSITIVE_INFINITY })
    expect(boot.snapshot).toBeUndefined()
  })

  test("plan() has nothing of the host's root for another processor but what is shared", () => {
    const { boot, folder } = plan({ ...defaults, arch: 'aarch64' }, ['./program'], host)
    expect(boot).toMatchObject({ architecture: 'aarch64', root: 'guest' })
    expect(folder).toBe('/home/x')
    expect(plan({ ...defaults, arch: 'aarch64', noShare: true }, ['true'], host).folder).toBe('/')
  })

  test('plan() runs in / where the machine has none of the present folder', () => {
    const folderOf = (flags: Partial<Flags>, folder: string): string =>
      plan({ ...defaults, ...flags }, ['true'], { ...host, folder }).folder
    expect(folderOf({}, '/tmp/x')).toBe('/tmp/x')
    expect(folderOf({ noShare: true }, '/tmp/x')).toBe('/')
    expect(folderOf({ noShare: true, share: [parseShare('/tmp')] }, '/tmp/x')).toBe('/tmp/x')
    expect(folderOf({ noShare: true, share: [parseShare('/tmp/xy')] }, '/tmp/x')).toBe('/')
    expect(folderOf({ noShare: true }, '/tmpfile')).toBe('/tmpfile')
    expect(folderOf({ noShare: true }, '/home/x')).toBe('/home/x')
  })

  test('plan() takes the shell of the user', () => {
    expect(plan({ ...defaults, shell: true }, [], { ...host, terminal: true })).toMatchObject({
      file: '/bin/bash',
      args: [],
      tty: true,
    })
  })

  test.each<[Partial<Flags>, string[], Partial<Surroundings>]>([
    [{ shell: true }, ['ls'], {}],
    [{}, [''], {}],
    [{ noShare: true, readOnly: true }, ['ls'], {}],
    [{ network: 'none', forward: [parseForward('80')] }, ['ls'], {}],
    [{ modulesFolder: '/x' }, ['ls'], {}],
    [{ modulesFolder: '/lib/modules', kernel: { image: '/x' } }, ['ls'], {}],
    [{ share: [parseShare('a:/srv'), parseShare('b:/srv')] }, ['ls'], {}],
    [{}, ['ls'], { folder: '/' }],
  ])('plan() refuses %j %j %j', (flags, program, surroundings) => {
    expect(() => plan({ ...defaults, ...flags }, program, { ...host, ...surroundings })).toThrow(UsageError)
  })
})

describe('programEnvironment()', () => {
  test('programEnvironment() passes what is harmless, and what is asked for by name', () => {
    const environment = { PATH: '/bin', LC_ALL: 'C', TERM: 'xterm', TOKEN: 'secret', KEPT: 'k', USER: 'x' }
    expect(programEnvironment(environment, [parseVariable('KEPT'), parseVariable('A=b')], false)).toEqual({
      PATH: '/bin',
      LC_ALL: 'C',
      USER: 'root',
      LOGNAME: 'root',
      KEPT: 'k',
      A: 'b',
    })
    expect(programEnvironment(environment, [], true)).toMatchObject({ TERM: 'xterm' })
    expect(programEnvironment({}, [parseVariable('NONE')], false)['NONE']).toBeUndefined()
  })
})

describe('exit statuses', () => {
  test('programStatus() is what a shell would give', () => {
    expect(programStatus({ code: 7, signal: null })).toBe(7)
    expect(programStatus({ code: null, signal: 'SIGTERM' })).toBe(143)
    expect(programStatus({ code: null, signal: 9 })).toBe(137)
  })

  test('spawnStatus() and machineStatus() tell what failed', () => {
    const withCode = (code: string): Error => Object.assign(new Error(code), { code })
    expect(spawnStatus(withCode('ENOENT'))).toBe(127)
    expect(spawnStatus(withCode('EACCES'))).toBe(126)
    expect(spawnStatus(withCode('ENOEXEC'))).toBe(126)
    expect(spawnStatus(new Error('the guest has ended'))).toBe(125)
    expect(machineStatus(new GuestTimeoutError('limit', 1, 'x', ''))).toBe(124)
    expect(machineStatus(new GuestTimeoutError('wait', 1, 'x', ''))).toBe(125)
  })
})
