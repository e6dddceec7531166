// seccomp filters: the assembled program run by a model of the machine, and the kernel's own judgement.
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { SECCOMP_RET_ALLOW, SECCOMP_RET_KILL_PROCESS, SECCOMP_RET_USER_NOTIF } from '../src/constants.ts'
import { errnoNumber } from '../src/errno.ts'
import { syscallNumber } from '../src/raw.ts'
import * as sys from '../src/seccomp.ts'
import { scriptResult } from './child-script.ts'

/** Runs classic BPF as net/core/filter.c does, for the instructions that filters here have. */
function run(filter: Uint8Array, data: { arch: number; nr: number; args: readonly bigint[] }): number {
  const memory = new DataView(new ArrayBuffer(64))
  memory.setUint32(0, data.nr, true)
  memory.setUint32(4, data.arch, true)
  for (const [index, value] of data.args.entries())
    memory.setBigUint64(16 + 8 * index, BigInt.asUintN(64, value), true)
  const code = new DataView(filter.buffer, filter.byteOffset)
  let a = 0
  for (let pc = 0; ; pc++) {
    const [yes, no, k] = [
      code.getUint8(pc * 8 + 2),
      code.getUint8(pc * 8 + 3),
      code.getUint32(pc * 8 + 4, true),
    ]
    const jump = (holds: boolean): number => (pc += holds ? yes : no)
    switch (code.getUint16(pc * 8, true)) {
      case 0x20:
        a = memory.getUint32(k, true)
        break
      case 0x54:
        a = (a & k) >>> 0
        break
      case 0x15:
        jump(a === k)
        break
      case 0x25:
        jump(a > k)
        break
      case 0x35:
        jump(a >= k)
        break
      case 0x06:
        return k
      default:
        throw new Error(`not an instruction at ${pc}`)
    }
  }
}

const x64 = 0xc000_003e
const arm64 = 0xc000_00b7
const denied = sys.seccompErrno('EPERM')

describe('seccompFilter()', () => {
  const holds = (condition: sys.SeccompCondition, argument: bigint): boolean => {
    const { bits = 64 } = condition
    const [left, right] = [BigInt.asUintN(bits, argument), BigInt.asUintN(bits, BigInt(condition.value))]
    switch (condition.operator) {
      case '==':
        return left === right
      case '!=':
        return left !== right
      case '<':
        return left < right
      case '<=':
        return left <= right
      case '>':
        return left > right
      case '>=':
        return left >= right
      case '&':
        return (left & BigInt.asUintN(bits, BigInt(condition.mask ?? condition.value))) === right
    }
  }
  // Numbers near each other and near the border of the words, where a wrong comparison shows.
  const word = fc.oneof(
    fc.bigInt(-(2n ** 63n), 2n ** 64n - 1n),
    fc.constantFrom(0n, 1n, -1n, 2n ** 32n - 1n, 2n ** 32n, 2n ** 32n + 1n, 5n << 32n, (5n << 32n) + 7n),
  )
  const half = fc.oneof(fc.bigInt(-(2n ** 31n), 2n ** 32n - 1n), fc.constantFrom(0n, 1n, -1n, 2n ** 32n - 1n))
  const comparison = {
    argument: fc.nat(5),
    operator: fc.constantFrom(...(['==', '!=', '<', '<=', '>', '>=', '&'] as const)),
  }
  const condition = fc.oneof(
    fc.record({ ...comparison, value: word, mask: word }),
    fc.record({ ...comparison, bits: fc.constant(64 as const), value: word, mask: word }),
    fc.record({ ...comparison, bits: fc.constant(32 as const), value: half, mask: half }),
  )

  test('decides as the rules say, for any arguments', () => {
    const rule = fc.record({
      call: fc.constantFrom(...(['socket', 'openat', 'read'] as const)),
      when: fc.array(condition, { maxLength: 3 }),
    })
    const property = fc.property(
      fc.array(rule, { maxLength: 4 }),
      fc.constantFrom(...(['socket', 'openat', 'read', 'close'] as const)),
      fc.tuple(word, word, word, word, word, word),
      (rules, called, args) => {
        const filter = sys.seccompFilter({
          rules: rules.map(({ call, when }, index) => ({ calls: [call], when, action: 0x50001 + index })),
          architecture: 'arm64',
        })
        const expected = rules.findIndex(
          ({ call, when }) => call === called && when.every((one) => holds(one, args[one.argument] ?? 0n)),
        )
        const nr = syscallNumber(called, 'arm64')
        expect(run(filter, { arch: arm64, nr, args })).toBe(
          expected < 0 ? SECCOMP_RET_ALLOW : 0x50001 + expected,
        )
      },
    )
    fc.assert(property, { numRuns: 2000 })
  })

  test('kills calls of another architecture or ABI, and leaves out names that the architecture lacks', () => {
    const filter = sys.seccompFilter({
      rules: [{ calls: ['open', 'openat'], action: denied }],
      architecture: 'x64',
    })
    expect(run(filter, { arch: 0x4000_0003, nr: 2, args: [] })).toBe(SECCOMP_RET_KILL_PROCESS)
    expect(run(filter, { arch: x64, nr: 0x4000_0002, args: [] })).toBe(SECCOMP_RET_KILL_PROCESS)
    expect(run(filter, { arch: x64, nr: 2, args: [] })).toBe(denied)
    const other = sys.seccompFilter({ rules: [{ calls: ['open'], action: denied }], architecture: 'arm64' })
    expect(run(other, { arch: arm64, nr: 2, args: [] })).toBe(SECCOMP_RET_ALLOW)
    expect(run(other, { arch: x64, nr: 2, args: [] })).toBe(SECCOMP_RET_KILL_PROCESS)
  })

  test('refuses unknown calls and errors, impossible conditions and filters that are too long', () => {
    const rule =
      (when: unknown): unknown =>
      () =>
        sys.seccompFilter({ rules: [{ calls: ['read'], action: denied, when: when as [] }] })
    expect(() => sys.seccompFilter({ rules: [{ calls: ['opn' as 'open'], action: denied }] })).toThrow(
      TypeError,
    )
    expect(() => sys.seccompErrno('ENONE')).toThrow(TypeError)
    expect(rule([{ argument: 6, operator: '==', value: 1 }])).toThrow(RangeError)
    expect(rule([{ argument: 0, operator: '=', value: 1 }])).toThrow(TypeError)
    expect(rule([{ argument: 0, operator: '==', value: 2n ** 64n }])).toThrow(RangeError)
    expect(rule([{ argument: 0, bits: 32, operator: '==', value: 2n ** 32n }])).toThrow(RangeError)
    expect(rule([{ argument: 0, bits: 32, operator: '&', value: 0, mask: 2 ** 32 }])).toThrow(RangeError)
    expect(rule([{ argument: 0, bits: 16, operator: '==', value: 1 }])).toThrow(RangeError)
    const one = { argument: 0, operator: '==', value: 1 }
    expect(rule(Array.from({ length: 43 }, () => one))).toThrow(RangeError)
    const long = { calls: Array.from({ length: 1400 }, () => 'read' as const), action: denied }
    expect(() => sys.seccompFilter({ rules: [long] })).toThrow('at most 4096')
  })
})

test('seccomp_set_mode_filter() denies calls by their arguments, in this thread and its children', () => {
  const result = scriptResult(`
    import { readFileSync } from 'node:fs'
    import * as c from '@pkg/sys/constants'
    import { prctl_get_seccomp, prctl_set_no_new_privs } from '@pkg/sys/prctl'
    import { seccomp_set_mode_filter, seccompErrno, seccompFilter } from '@pkg/sys/seccomp'
    import { syscall } from '@pkg/sys/raw'
    import { socket } from '@pkg/sys/socket'
    import { spawn } from '@pkg/sys/spawn'
    const code = (action) => { try { action()?.close?.(); return 'none' } catch (error) { return error.code ?? error.name } }
    const isInet = { argument: 0, bits: 32, operator: '==', value: c.AF_INET }
    const filter = seccompFilter({ rules: [
      { calls: ['socket'], action: seccompErrno('ENOANO'), when: [isInet] },
      { calls: ['mkdir', 'mkdirat'], action: seccompErrno('EBADE') } ] })
    prctl_set_no_new_privs()
    const found = [code(() => seccomp_set_mode_filter(filter, c.SECCOMP_FILTER_FLAG_TSYNC))]
    found.push(code(() => socket(c.AF_INET, c.SOCK_DGRAM, 0)), code(() => socket(c.AF_UNIX, c.SOCK_DGRAM, 0)))
    // Of a register the kernel takes an int, and so the condition must.
    found.push(syscall('socket', 0x1_0000_0000 + c.AF_INET, c.SOCK_DGRAM, 0))
    found.push(prctl_get_seccomp(), (await Bun.file('/proc/self/status').text()).match(/^Seccomp_filters:\\t(.*)$/m)[1])
    using child = spawn({ file: '/bin/mkdir', args: ['/tmp/solo-none/x'], env: { LC_ALL: 'C' }, stdio: ['null', 'null', 'pipe'] })
    const { code: status } = await child.wait()
    found.push(status, await new Response(Bun.file(child.stderr.fd)).text())
    found.push(code(() => seccomp_set_mode_filter(new Uint8Array(7))), code(() => seccomp_set_mode_filter(new Uint8Array(8))))
    process.stdout.write(JSON.stringify(found))`)
  expect(result).toEqual([
    'none',
    'ENOANO',
    'none',
    -errnoNumber('ENOANO'),
    2,
    '1',
    1,
    expect.stringContaining('Invalid exchange'),
    'RangeError',
    'EINVAL',
  ])
})

test('seccomp_set_mode_filter() with TSYNC fails where a thread cannot be synchronised, and installs nothing', () => {
  const result = scriptResult(`
    import * as c from '@pkg/sys/constants'
    import { prctl_get_seccomp, prctl_set_no_new_privs } from '@pkg/sys/prctl'
    import { seccomp_set_mode_filter, seccompErrno, seccompFilter } from '@pkg/sys/seccomp'
    const worker = new Worker(URL.createObjectURL(new Blob([\`
      import { prctl_set_no_new_privs } from '${join(import.meta.dirname, '../src/prctl.ts')}'
      import { seccomp_set_mode_filter, seccompFilter } from '${join(import.meta.dirname, '../src/seccomp.ts')}'
      prctl_set_no_new_privs()
      seccomp_set_mode_filter(seccompFilter({ rules: [] }))
      postMessage('has a filter of its own')
      setInterval(() => {}, 1000)
    \`])))
    await new Promise((resolve) => (worker.onmessage = resolve))
    prctl_set_no_new_privs()
    const filter = seccompFilter({ rules: [{ calls: ['getcwd'], action: seccompErrno('EPERM') }] })
    const found = []
    for (const flags of [c.SECCOMP_FILTER_FLAG_TSYNC, c.SECCOMP_FILTER_FLAG_TSYNC | c.SECCOMP_FILTER_FLAG_NEW_LISTENER]) {
      try { found.push(seccomp_set_mode_filter(filter, flags)) } catch (error) { found.push(error.code) }
    }
    process.stdout.write(JSON.stringify([...found, prctl_get_seccomp()]))
    process.exit(0)`)
  expect(result).toEqual(['ESRCH', 'ESRCH', 0])
})

test('seccomp_set_mode_filter() gives a listener where one is asked for', () => {
  const result = scriptResult(`
    import { SECCOMP_FILTER_FLAG_NEW_LISTENER } from '@pkg/sys/constants'
    import { readlinkSync } from 'node:fs'
    import { prctl_set_no_new_privs } from '@pkg/sys/prctl'
    import { seccomp_set_mode_filter, seccompFilter } from '@pkg/sys/seccomp'
    prctl_set_no_new_privs()
    using listener = seccomp_set_mode_filter(seccompFilter({ rules: [] }), SECCOMP_FILTER_FLAG_NEW_LISTENER)
    process.stdout.write(JSON.stringify(readlinkSync('/proc/self/fd/' + listener.fd)))`)
  expect(result).toBe('anon_inode:seccomp notify')
})

describe('a supervisor', () => {
  /** A filter that asks about \`calls\`, whose answers \`script\` gives; it has \`listener\` and \`spawn\`. */
  const supervised = (calls: string, script: string): unknown =>
    scriptResult(`
      import * as c from '@pkg/sys/constants'
      import { memfd_create, write } from '@pkg/sys/io'
      import { prctl_set_no_new_privs } from '@pkg/sys/prctl'
      import { process_vm_readv } from '@pkg/sys/process-memory'
      import { syscallNumber } from '@pkg/sys/raw'
      import { reactor } from '@pkg/sys/reactor'
      import * as s from '@pkg/sys/seccomp'
      import { spawn } from '@pkg/sys/spawn'
      import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
      const folder = mkdtempSync('/tmp/solo-seccomp-')
      prctl_set_no_new_privs()
      const filter = s.seccompFilter({ rules: [{ calls: ${calls}, action: c.SECCOMP_RET_USER_NOTIF }] })
      using listener = s.seccomp_set_mode_filter(filter, c.SECCOMP_FILTER_FLAG_NEW_LISTENER)
      const code = (action) => { try { return action() ?? 'none' } catch (error) { return error.code } }
      const next = async () => {
        await reactor().readable(listener, { signal: AbortSignal.timeout(30_000) })
        return s.seccomp_notif_recv(listener)
      }
      const found = await (async () => { ${script} })()
      rmSync(folder, { recursive: true })
      process.stdout.write(JSON.stringify(found))`)

  test('seccomp_notif_recv() tells of a call, and seccomp_notif_send() answers in the kernel’s place', () => {
    const result = supervised(
      `['mkdir', 'mkdirat']`,
      `
      const found = []
      for (const answer of [{ error: 'EDQUOT' }, { value: 0 }, 'continue']) {
        using child = spawn({ file: '/bin/mkdir', args: [folder + '/made'], env: { LC_ALL: 'C' }, stdio: ['null', 'null', 'pipe'] })
        const call = await next()
        const isMkdirat = call.nr === syscallNumber('mkdirat')
        const path = new Uint8Array(256)
        const pointer = call.args[isMkdirat ? 1 : 0]
        process_vm_readv(call.pid, pointer, path)
        const text = new TextDecoder().decode(path.subarray(0, path.indexOf(0)))
        found.push(call.pid === child.pid, text === folder + '/made', s.seccomp_notif_id_valid(listener, call.id))
        s.seccomp_notif_send(listener, call.id, answer)
        found.push((await child.wait()).code, (await new Response(Bun.file(child.stderr.fd)).text()).includes('quota'), existsSync(folder + '/made'))
        found.push(s.seccomp_notif_id_valid(listener, call.id), code(() => s.seccomp_notif_send(listener, call.id, answer)))
      }
      return found`,
    )
    const answered = (status: number, hasError: boolean, exists: boolean): unknown[] => [
      ...[true, true, true],
      ...[status, hasError, exists],
      ...[false, 'ENOENT'],
    ]
    expect(result).toEqual([
      ...answered(1, true, false),
      ...answered(0, false, false),
      ...answered(0, false, true),
    ])
  })

  test('seccomp_notif_addfd() gives the other process a file of ours as what its call returns', () => {
    const result = supervised(
      `['inotify_init1']`,
      `
      using secret = memfd_create('secret', 0)
      write(secret, new TextEncoder().encode('from the supervisor'))
      const script = \`import { syscall } from '@pkg/sys/raw'
        const { readFileSync } = await import('node:fs')
        const fd = syscall('inotify_init1', 0)
        process.stdout.write(readFileSync('/proc/self/fd/' + fd, 'utf8'))\`
      using child = spawn({ file: process.execPath, args: ['-e', script], env: {}, stdio: ['null', 'pipe', 'inherit'] })
      const call = await next()
      const given = s.seccomp_notif_addfd(listener, call.id, secret)
      const text = await new Response(Bun.file(child.stdout.fd)).text()
      return [given > 2, text, (await child.wait()).code]`,
    )
    expect(result).toEqual([true, 'from the supervisor', 0])
  })
})

test('a helper installs a filter, hands its listener over, and becomes the program that is supervised', () => {
  const result = scriptResult(`
    import * as c from '@pkg/sys/constants'
    import { reactor } from '@pkg/sys/reactor'
    import { seccomp_notif_recv, seccomp_notif_send } from '@pkg/sys/seccomp'
    import { recvmsg, socketpair } from '@pkg/sys/socket'
    import { spawn } from '@pkg/sys/spawn'
    const helper = \`
      import * as c from '@pkg/sys/constants'
      import { execve } from '@pkg/sys/exec'
      import { prctl_set_no_new_privs } from '@pkg/sys/prctl'
      import { seccomp_set_mode_filter, seccompFilter } from '@pkg/sys/seccomp'
      import { sendmsg } from '@pkg/sys/socket'
      prctl_set_no_new_privs()
      const rules = [{ calls: ['mkdir', 'mkdirat'], action: c.SECCOMP_RET_USER_NOTIF }]
      const listener = seccomp_set_mode_filter(seccompFilter({ rules }), c.SECCOMP_FILTER_FLAG_NEW_LISTENER)
      sendmsg(3, { buffers: [new Uint8Array(1)], control: [{ type: 'rights', fds: [listener] }] })
      execve('/bin/mkdir', ['mkdir', '/none/at/all'], { LC_ALL: 'C' })\`
    const [ours, theirs] = socketpair(c.AF_UNIX, c.SOCK_SEQPACKET, 0)
    using child = spawn({ file: process.execPath, args: ['-e', helper], env: {}, stdio: ['null', 'inherit', 'pipe'], fds: { 3: theirs } })
    theirs.close()
    const wait = { signal: AbortSignal.timeout(30_000) }
    await reactor().readable(ours, wait)
    const { control } = recvmsg(ours, { buffers: [new Uint8Array(1)] })
    using listener = control.find(({ type }) => type === 'rights').fds[0]
    await reactor().readable(listener, wait)
    const call = seccomp_notif_recv(listener)
    seccomp_notif_send(listener, call.id, { error: 'EDQUOT' })
    const said = await new Response(Bun.file(child.stderr.fd)).text()
    process.stdout.write(JSON.stringify([call.pid === child.pid, said.includes('quota'), (await child.wait()).code]))`)
  expect(result).toEqual([true, true, 1])
})

test('seccomp_get_action_avail() knows the actions of this kernel', () => {
  expect(sys.seccomp_get_action_avail(SECCOMP_RET_USER_NOTIF)).toBe(true)
  expect(sys.seccomp_get_action_avail(0x12340000)).toBe(false)
})
