// Where there is no Linux: every import works, constants and codecs too, and the first call says what is missing.
import { expect, test } from 'vitest'
import manifest from '../package.json' with { type: 'json' }
import { scriptResult } from './child-script.ts'

const subpaths = Object.keys(manifest.exports).filter((key) => !key.endsWith('.json'))

/** `script` where the system seems to be another; `load` imports a subpath. */
const elsewhere = (platform: string, arch: string, script: string): unknown =>
  scriptResult(`
    Object.defineProperty(process, 'platform', { value: '${platform}' })
    Object.defineProperty(process, 'arch', { value: '${arch}' })
    const load = (subpath) => import('@pkg/sys' + subpath.slice(1))
    const refusal = (action) => { try { action(); return 'done' } catch (error) { return error.name + ': ' + error.message } }
    const found = await (async () => { ${script} })()
    process.stdout.write(JSON.stringify(found))`)

const systems = [
  ['darwin', 'arm64'],
  ['win32', 'x64'],
  ['linux', 'riscv64'],
] as const

test.each(systems)('on %s, %s every subpath can be imported, which makes no call', (platform, arch) => {
  // A call that is bound while a module loads would be refused there and then.
  const loaded = elsewhere(
    platform,
    arch,
    `const names = {}
    for (const subpath of ${JSON.stringify(subpaths)}) names[subpath] = Object.keys(await load(subpath)).length
    return names`,
  ) as Record<string, number>
  expect(Object.keys(loaded)).toEqual(subpaths)
  expect(Object.entries(loaded).filter(([, count]) => count === 0)).toEqual([])
  expect(subpaths.length).toBeGreaterThan(45)
})

test.each(systems)('on %s, %s constants, structs, filters and programs work', (platform, arch) => {
  const found = elsewhere(
    platform,
    arch,
    `const c = await load('./constants')
    const { alloc } = await load('./struct')
    const { statx } = await load('./structs')
    const { seccompErrno, seccompFilter } = await load('./seccomp')
    const { Program } = await load('./program')
    const { errnoMessage } = await load('./errno')
    const { syscallNumber } = await load('./raw')
    const buffer = alloc(statx)
    buffer.set('stx_size', 7)
    const rules = [{ calls: ['socket'], action: seccompErrno('EPERM') }]
    const program = new Program()
    program.call('mkdirat', c.AT_FDCWD, '/run', 0o755)
    return [c.MS_BIND, String(buffer.get('stx_size')), seccompFilter({ rules, architecture: 'arm64' }).length % 8,
      program.compile({ architecture: 'x64', address: 0x10000 }).length > 0, program.explain().trim(),
      errnoMessage(2), syscallNumber('read', 'x64')]`,
  )
  const step = expect.stringContaining('mkdirat(AT_FDCWD, "/run", 0755)')
  expect(found).toEqual([4096, '7', 0, true, step, 'No such file or directory', 0])
})

test.each(systems)('on %s, %s the first call says that it needs Linux', (platform, arch) => {
  const found = elsewhere(
    platform,
    arch,
    `const c = await load('./constants')
    const [fs, io, process_, socket, time, memory, reactor, spawn, run, event, signal, raw, system, mount] = await Promise.all(
      ['fs', 'io', 'process', 'socket', 'time', 'memory', 'reactor', 'spawn', 'run-program', 'event', 'signal', 'raw', 'system', 'mount']
        .map((name) => load('./' + name)))
    const { Program } = await load('./program')
    return [
      () => fs.openat(c.AT_FDCWD, '/', 0),
      () => fs.statx(c.AT_FDCWD, '/', 0, c.STATX_BASIC_STATS),
      () => io.read(0, new Uint8Array(1)),
      () => io.pipe2(0),
      () => process_.getpid(),
      () => socket.socket(c.AF_INET, c.SOCK_STREAM, 0),
      () => time.clock_gettime(0),
      () => memory.mmap({ lengthBytes: 4096 }),
      () => reactor.reactor(),
      () => spawn.spawn({ file: '/bin/true', env: {} }),
      () => run.runProgram(new Program()),
      () => event.eventfd2(0, 0),
      () => signal.watchSignals([10], () => {}),
      () => raw.syscall('getpid'),
      () => system.uname(),
      () => mount.umount2('/none', 0),
    ].map(refusal)`,
  ) as string[]
  const message = `TypeError: @pkg/sys makes Linux system calls on x64 and arm64; this is ${platform} on ${arch}`
  expect(found).toEqual(found.map(() => message))
  expect(found).toHaveLength(16)
})
