import { createServer, type AddressInfo } from 'node:net'
import { afterAll, describe, expect, test } from 'vitest'
import { GuestEndedError, PortInUseError, QemuMissingError, QemuStartError, VmError } from '../src/errors.ts'
import { startQemu, type Forward, type NetworkOptions, type QemuOptions } from '../src/qemu.ts'
import { qemuCommandLine } from '../src/qemu/command-line.ts'
import { resolveOptions } from '../src/qemu/options.ts'
import { boundForwards } from '../src/qemu/ports.ts'
import { describeCpus } from '../src/qemu/registers.ts'
import { fakeQemu } from './fake-qemu.ts'
import { hang, tinyGuest } from './tiny-guest.ts'

// A kernel by its header, for boots that fail before it runs.
const guest = tinyGuest(hang)
afterAll(() => guest[Symbol.dispose]())
const kernel = guest.path
const tcg = { kernel, accelerator: 'tcg' } as const

const user = (...forwards: Forward[]): NetworkOptions[] => [{ kind: 'user', forwards }]

async function bootError(options: Partial<QemuOptions>): Promise<unknown> {
  return startQemu({ ...tcg, ...options }).then(
    async (vm) => {
      await vm.kill()
      return 'it booted'
    },
    (error: unknown) => error,
  )
}

describe("startQemu()'s options", () => {
  test.each<[string, Partial<QemuOptions>, RegExp]>([
    ['memoryMiB', { memoryMiB: 0 }, /memoryMiB: 0/],
    ['memoryMiB', { memoryMiB: Number.NaN }, /memoryMiB: NaN/],
    ['cpus', { cpus: 1.5 }, /cpus: 1\.5/],
    ['timeoutMs', { timeoutMs: 0 }, /timeoutMs: 0/],
    ['timeoutMs', { timeoutMs: 2 ** 31 }, /24 days/],
    ['silenceTimeoutMs', { silenceTimeoutMs: -5 }, /silenceTimeoutMs: -5/],
    ['hostPort', { networks: user({ hostPort: 70_000, guestPort: 80 }) }, /forwards\[0\]\.hostPort: 70000/],
    ['guestPort', { networks: user({ hostPort: 0, guestPort: 0 }) }, /forwards\[0\]\.guestPort: 0/],
  ])('a %s out of its range is a RangeError that names it', async (_, options, message) => {
    const error = await bootError(options)
    expect(error).toBeInstanceOf(RangeError)
    expect(String(error)).toMatch(message)
  })

  test.each<[string, Partial<QemuOptions>]>([
    [
      'a port twice',
      { networks: user({ hostPort: 8080, guestPort: 80 }, { hostPort: 8080, guestPort: 81 }) },
    ],
    ['a machine that is not there', { machine: 'pc' as 'q35' }],
    ['a machine of another architecture', { machine: 'virt', architecture: 'x86_64' }],
    ['two sources of one disk', { disks: [{ sizeBytes: 512, nbd: 'nbd://host' }] }],
    ['a share twice', { shares: [0, 1].map(() => ({ tag: 'a', host: '/tmp' })) }],
    ['a balloon in a restored guest', { balloon: true, restore: '/tmp' }],
    ['an accelerator that is not there', { accelerator: 'hvf' as 'kvm' }],
    ['a NUL in the command line', { append: 'a\0b' }],
    ['no kernel', { kernel: '' }],
    ['a kernel beside firmware', { firmware: { code: kernel, variables: kernel } }],
  ])('%s is a TypeError', async (_, options) => {
    expect(await bootError(options)).toBeInstanceOf(TypeError)
  })

  test('a kernel or initramfs that is not there is named, with what to give', async () => {
    const error = await bootError({ kernel: '/nonexistent/vmlinuz' })
    expect(error).toBeInstanceOf(VmError)
    expect(String(error)).toMatch(/kernel: ENOENT.*\/nonexistent\/vmlinuz.*bzImage/)
    expect(String(await bootError({ initrd: '/proc' }))).toContain('initrd: /proc is not a file')
  })

  test('an aborted signal starts nothing', async () => {
    expect(String(await bootError({ signal: AbortSignal.abort(new Error('not now')) }))).toContain('not now')
  })
})

describe("startQemu()'s failures", () => {
  test('QemuMissingError names the package when QEMU is not installed', async () => {
    const error = await bootError({ qemu: 'qemu-system-nowhere' })
    expect(error).toBeInstanceOf(QemuMissingError)
    expect(String(error)).toContain('apt install qemu-system-x86')
  })

  test('PortInUseError for a port that somebody listens on, before QEMU is started', async () => {
    const server = createServer()
    await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve))
    const { port } = server.address() as AddressInfo
    using qemu = fakeQemu('echo started >&2; exit 1')
    try {
      const error = await bootError({ qemu: qemu.path, networks: user({ hostPort: port, guestPort: 80 }) })
      expect(error).toBeInstanceOf(PortInUseError)
      expect(error).toMatchObject({ port })
      expect(String(error)).toContain(`ss -ltnp sport = :${port}`)
    } finally {
      server.close()
    }
  })

  test('PortInUseError for a port that was lost to somebody between our look and QEMU', async () => {
    // QEMU 7.2.22's own words.
    using qemu = fakeQemu(
      `echo "qemu-system-x86_64: -netdev user: Could not set up host forwarding rule 'tcp:127.0.0.1:8080-:80'" >&2; exit 1`,
    )
    expect(await bootError({ qemu: qemu.path })).toMatchObject({ name: 'PortInUseError', port: 8080 })
  })

  test.each([
    ['No space left on device', 'disk is full'],
    ["cannot set up guest memory 'pc.ram': Cannot allocate memory", 'lower memoryMiB'],
    ['Could not access KVM kernel module: Permission denied', 'group kvm'],
    ['something never heard of', 'something never heard of'],
  ])('QemuStartError carries "%s" and says what helps', async (stderr, advice) => {
    using qemu = fakeQemu(`echo "qemu-system-x86_64: ${stderr}" >&2; exit 1`)
    const error = await bootError({ qemu: qemu.path })
    expect(error).toBeInstanceOf(QemuStartError)
    expect(String(error)).toContain(advice)
    expect(String(error)).toContain(stderr)
    expect(String(error)).toContain('exit status 1')
  })

  test('QemuStartError tells the signal that QEMU died of', async () => {
    using qemu = fakeQemu('kill -ABRT $$')
    expect(String(await bootError({ qemu: qemu.path }))).toContain('SIGABRT')
  })

  test('GuestEndedError-free: an aborted signal ends a QEMU that never answers', async () => {
    using qemu = fakeQemu('exec sleep 60')
    const reason = new Error('changed my mind')
    const controller = new AbortController()
    setTimeout(() => controller.abort(reason), 100)
    const error = await bootError({ qemu: qemu.path, signal: controller.signal })
    expect(error).toBe(reason)
    expect(error).not.toBeInstanceOf(GuestEndedError)
  })
})

describe('qemuCommandLine()', () => {
  test('firmware lies in two flash memories, of which the second is written', () => {
    const { args } = qemuCommandLine(
      resolveOptions({ firmware: { code: kernel, variables: kernel }, onPanic: 'ignore' }),
      'tcg',
    )
    const line = args.join(' ')
    expect(line).toContain(`if=pflash,format=raw,unit=0,readonly=on,file=${kernel}`)
    expect(line).toContain(`if=pflash,format=raw,unit=1,snapshot=on,file=${kernel}`)
    for (const word of ['-kernel', '-append', 'pvpanic']) expect(args).not.toContain(word)
  })

  const line = (options: Partial<QemuOptions>, accelerator: 'kvm' | 'tcg' = 'tcg'): string =>
    qemuCommandLine(resolveOptions({ ...tcg, ...options }), accelerator).args.join(' ')

  test('asks for TCG by name with the fastest CPU model that runs Bun, and for the host CPU under KVM', () => {
    expect(line({})).toContain(
      '-accel tcg,thread=multi -machine q35 -cpu Nehalem,+rdrand,vendor=AuthenticAMD -smp 2 -m 512M',
    )
    expect(line({}, 'kvm')).toMatch(/-accel kvm .*-cpu host/)
  })

  test("gives the caller's words after ours", () => {
    expect(line({ append: 'panic=10 quiet' })).toContain('-append console=ttyS0 panic=-1 panic=10 quiet')
    expect(line({ qemuArguments: ['-s'] })).toMatch(/ -s$/)
  })

  test('binds forwards to the loopback only', () => {
    expect(line({ networks: user({ hostPort: 0, guestPort: 80 }) })).toContain('hostfwd=tcp:127.0.0.1:0-:80')
    expect(line({ networks: [] })).not.toContain('virtio-net')
  })
})

describe('boundForwards()', () => {
  // `info usernet` of QEMU 7.2.22.
  const usernet = [
    'Hub -1 (net0):',
    '  Protocol[State]    FD  Source Address  Port   Dest. Address  Port RecvQ SendQ',
    '  TCP[HOST_FORWARD]   9       127.0.0.1 35923       10.0.2.15    80     0     0',
    '  TCP[HOST_FORWARD]   4       127.0.0.1 36383       10.0.2.15    80     0     0',
    '  TCP[HOST_FORWARD]   5       127.0.0.1  8443       10.0.2.15   443     0     0',
    '',
  ].join('\r\n')

  test('gives the ports that QEMU took, in the order of the question', () => {
    const asked = [
      { hostPort: 8443, guestPort: 443 },
      { hostPort: 0, guestPort: 80 },
      { hostPort: 36_383, guestPort: 80 },
    ]
    expect(boundForwards(asked, usernet, 'net0').map(({ hostPort }) => hostPort)).toEqual([
      8443, 35_923, 36_383,
    ])
  })

  test('shows the table when a rule is not in it', () => {
    expect(() => boundForwards([{ hostPort: 0, guestPort: 22 }], usernet, 'net0')).toThrow(
      /guest's port 22:\nHub/,
    )
  })
})

describe('describeCpus()', () => {
  test('tells halted from running, and interrupts off from on', () => {
    // Cut from `info registers -a` of QEMU 7.2.22.
    const registers = [
      '',
      'CPU#0',
      'RAX=0000000000000000 RBX=ffffffff82c13940',
      'RIP=ffffffff81b0a2ce RFL=00000246 [---Z-P-] CPL=0 II=0 A20=1 SMM=0 HLT=1',
      '',
      'CPU#1',
      'EAX=00000000 EBX=00000000',
      'EIP=0010003e EFL=00000046 [---Z-P-] CPL=0 II=0 A20=1 SMM=0 HLT=0',
      '',
    ].join('\r\n')
    expect(describeCpus(registers)).toBe(
      'cpu 0: halted at ffffffff81b0a2ce; cpu 1: running, interrupts off at 0010003e',
    )
  })

  test('is empty for an answer it does not know', () => {
    expect(describeCpus('')).toBe('')
    expect(describeCpus('CPU#0\nX=1')).toBe('')
  })
})
