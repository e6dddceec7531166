// Sockets and their addresses, beside node:net and /proc/net.
import { createHash } from 'node:crypto'
import { readFileSync, readlinkSync } from 'node:fs'
import { connect as connectNode, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { describe, expect, test } from 'vitest'
import {
  AF_ALG,
  AF_INET,
  AF_INET6,
  AF_NETLINK,
  AF_PACKET,
  AF_UNIX,
  AF_VSOCK,
  MSG_CTRUNC,
  MSG_DONTWAIT,
  MSG_NOSIGNAL,
  MSG_PEEK,
  MSG_TRUNC,
  SOCK_DGRAM,
  SOCK_NONBLOCK,
  SOCK_RAW,
  SOCK_SEQPACKET,
  SOCK_STREAM,
  SOL_SOCKET,
  SO_PASSCRED,
  SO_RCVBUF,
  SO_TYPE,
} from '../src/constants.ts'
import { OwnedFd } from '../src/fd.ts'
import { fcntl, memfd_create, read, write } from '../src/io.ts'
import { syscall } from '../src/raw.ts'
import { reactor } from '../src/reactor.ts'
import * as net from '../src/socket.ts'
import { decodeSocketAddress, encodeSocketAddress } from '../src/socket/address.ts'

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')
const bytes = (text: string): Uint8Array => new TextEncoder().encode(text)
function codeOf(action: () => unknown): unknown {
  try {
    return action()
  } catch (error) {
    return (error as { code?: string }).code
  }
}

describe('addresses', () => {
  const addresses: [string, net.SocketAddress, string][] = [
    ['IPv4', { family: AF_INET, address: '10.0.2.15', port: 8080 }, '02001f900a00020f0000000000000000'],
    [
      'IPv6',
      { family: AF_INET6, address: 'fe80::1', port: 53, flowinfo: 0, scopeId: 3 },
      '0a00003500000000fe80000000000000000000000000000103000000',
    ],
    ['netlink', { family: AF_NETLINK, pid: 7, groups: 0x80000001 }, '100000000700000001000080'],
    ['a Unix path', { family: AF_UNIX, path: '/x' }, '01002f7800'],
    ['an abstract name', { family: AF_UNIX, path: '\0ab' }, '0100006162'],
    ['an unnamed Unix socket', { family: AF_UNIX, path: '' }, '0100'],
    ['an abstract name with NULs', { family: AF_UNIX, path: '\0ab\0c\0\0' }, '010000616200630000'],
    [
      'an algorithm',
      { family: AF_ALG, type: 'hash', name: 'sha256' },
      `2600${hex(bytes('hash')).padEnd(28, '0')}${'00'.repeat(8)}${hex(bytes('sha256')).padEnd(128, '0')}`,
    ],
    ['vsock', { family: AF_VSOCK, cid: 0xffff_ffff, port: 1024 }, '2800000000040000ffffffff00000000'],
  ]
  test.each(addresses)('of %s are what the kernel lays out, and are read back', (_, address, expected) => {
    const encoded = encodeSocketAddress(address)
    expect(hex(encoded)).toBe(expected)
    const storage = new Uint8Array(new ArrayBuffer(128))
    storage.set(encoded)
    expect(decodeSocketAddress(storage, encoded.length)).toEqual(address)
  })

  test('of packet sockets carry the protocol in network order', () => {
    const address = Uint8Array.of(1, 2, 3, 4, 5, 6)
    const encoded = encodeSocketAddress({ family: AF_PACKET, protocol: 0x0806, ifindex: 2, address })
    expect(hex(encoded)).toBe('1100080602000000000000060102030405060000')
  })

  test('that cannot be are refused', () => {
    const refused: unknown[] = [
      { family: AF_INET, address: '1.2.3', port: 1 },
      { family: AF_INET, address: '1.2.3.4', port: 65_536 },
      { family: AF_INET, address: '1.2.3.4', port: -1 },
      { family: AF_INET6, address: 'fe80::1%lo', port: 1 },
      { family: AF_UNIX, path: `/${'x'.repeat(107)}` },
      { family: AF_UNIX, path: 'a\0b' },
      { family: AF_ALG, type: 'x'.repeat(14), name: 'sha256' },
      { family: AF_ALG, type: 'hash', name: 'x'.repeat(64) },
      { family: AF_ALG, type: 'hash', name: 'a\0b' },
      { family: AF_ALG, type: 'hash' },
      { family: 99 },
    ]
    for (const address of refused) {
      expect(() => encodeSocketAddress(address as net.SocketAddress), JSON.stringify(address)).toThrow(/./)
    }
    expect(() => encodeSocketAddress({ family: AF_UNIX, path: 'x'.repeat(107) })).not.toThrow()
  })
})

test('connect() reaches an abstract name that a program in C padded with NULs', () => {
  using server = net.socket(AF_UNIX, SOCK_STREAM, 0)
  const address = new Uint8Array(new ArrayBuffer(110))
  address.set([AF_UNIX, 0, 0, ...bytes(`solo-padded-${process.pid}`)])
  expect(syscall('bind', server.fd, address, address.length)).toBe(0)
  net.listen(server, 1)
  const name = net.getsockname(server)
  if (name?.family !== AF_UNIX) throw new TypeError('no address')
  expect(name.path).toHaveLength(108)
  using client = net.socket(AF_UNIX, SOCK_STREAM, 0)
  net.connect(client, name)
  expect(net.getpeername(client)).toEqual(name)
})

const algorithms = (): OwnedFd => net.socket(AF_ALG, SOCK_SEQPACKET, 0)

test('accept4_unnamed() and bind() of AF_ALG: a hash by the kernel, or that it was built without', () => {
  const made = codeOf(algorithms)
  if (!(made instanceof OwnedFd)) {
    // CONFIG_CRYPTO_USER_API_HASH, which guests of suites/vitest.config.ts in @pkg/vm have as a module.
    expect(readFileSync('/proc/net/protocols', 'utf8')).not.toMatch(/^ALG /m)
    return expect(made).toBe('EAFNOSUPPORT')
  }
  using algorithm = made
  net.bind(algorithm, { family: AF_ALG, type: 'hash', name: 'sha256' })
  using operation = net.accept4_unnamed(algorithm)
  expect(net.sendmsg(operation, { buffers: [bytes('some'), bytes('text')] })).toBe(8)
  const digest = new Uint8Array(32)
  expect(read(operation, digest)).toBe(32)
  expect(hex(digest)).toBe(createHash('sha256').update('sometext').digest('hex'))
  using other = algorithms()
  return expect(codeOf(() => net.bind(other, { family: AF_ALG, type: 'hash', name: 'none' }))).toBe('ENOENT')
})

test('accept4_unnamed() takes a connection of another family too', () => {
  using server = net.socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0)
  const name = { family: AF_UNIX, path: `\0solo-unnamed-${process.pid}` } as const
  net.bind(server, name)
  net.listen(server, 1)
  expect(codeOf(() => net.accept4_unnamed(server))).toBe('EAGAIN')
  using client = net.socket(AF_UNIX, SOCK_STREAM, 0)
  net.connect(client, name)
  using accepted = net.accept4_unnamed(server, SOCK_NONBLOCK)
  net.sendto(client, bytes('hello'), 0)
  expect(read(accepted, new Uint8Array(8))).toBe(5)
})

describe('streams of socket()', () => {
  test('bind(), listen(), accept4(): from node:net, as getsockname() and getpeername() say; shutdown() ends them', async () => {
    using server = net.socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0)
    net.bind(server, { family: AF_INET, address: '127.0.0.1', port: 0 })
    net.listen(server, 16)
    const own = net.getsockname(server)
    if (own?.family !== AF_INET) throw new TypeError('no address')
    expect(codeOf(() => net.accept4(server))).toBe('EAGAIN')
    const client = connectNode(own.port, '127.0.0.1')
    await new Promise((resolve) => client.once('connect', resolve))
    await reactor().readable(server)
    const accepted = net.accept4(server, SOCK_NONBLOCK)
    using peer = accepted.fd
    expect(accepted.address).toMatchObject({ family: AF_INET, address: '127.0.0.1', port: client.localPort })
    expect(net.getpeername(peer)).toEqual(accepted.address)
    client.end('hello')
    await reactor().readable(peer)
    const buffer = new Uint8Array(16)
    expect(read(peer, buffer)).toBe(5)
    net.shutdown(peer, 1)
    expect(codeOf(() => net.sendto(peer, buffer, MSG_NOSIGNAL))).toBe('EPIPE')
    client.destroy()
  })

  test('connect() reaches node:net without blocking, recvfrom() its words', async () => {
    const server = createServer((socket) => socket.end('bye'))
    await new Promise<void>((resolve) => server.listen(0, '::1', resolve))
    const { port } = server.address() as { port: number }
    using client = net.socket(AF_INET6, SOCK_STREAM | SOCK_NONBLOCK, 0)
    expect(codeOf(() => net.connect(client, { family: AF_INET6, address: '::1', port }))).toBe('EINPROGRESS')
    await reactor().writable(client)
    await reactor().readable(client)
    const buffer = new Uint8Array(8)
    expect(net.recvfrom(client, buffer, 0)).toEqual({ size: 3, address: null })
    server.close()
  })

  test('report refusal with the address', () => {
    using client = net.socket(AF_INET, SOCK_STREAM, 0)
    const address = { family: AF_INET, address: '127.0.0.1', port: 1 } as const
    expect(() => net.connect(client, address)).toThrow('connect 127.0.0.1:1: ECONNREFUSED')
    expect(codeOf(() => net.getpeername(client))).toBe('ENOTCONN')
    using unix = net.socket(AF_UNIX, SOCK_STREAM, 0)
    expect(() => net.connect(unix, { family: AF_UNIX, path: '/none' })).toThrow('connect /none: ENOENT')
    expect(codeOf(() => net.socket(99, SOCK_STREAM, 0))).toBe('EAFNOSUPPORT')
  })

  test('of Unix have paths and abstract names', () => {
    using first = net.socket(AF_UNIX, SOCK_STREAM, 0)
    const path = `${tmpdir()}/solo-${process.pid}-${'ü'.repeat(20)}`
    net.bind(first, { family: AF_UNIX, path })
    expect(net.getsockname(first)).toEqual({ family: AF_UNIX, path })
    using second = net.socket(AF_UNIX, SOCK_STREAM, 0)
    net.bind(second, { family: AF_UNIX, path: `\0solo-${process.pid}` })
    expect(readFileSync('/proc/net/unix', 'utf8')).toContain(`@solo-${process.pid}\n`)
    expect(() => net.bind(first, { family: AF_UNIX, path })).toThrow(/EINVAL|EADDRINUSE/)
    using third = net.socket(AF_UNIX, SOCK_STREAM, 0)
    expect(codeOf(() => net.bind(third, { family: AF_UNIX, path }))).toBe('EADDRINUSE')
    Bun.spawnSync(['rm', path])
  })
})

describe('datagrams', () => {
  test('of sendto() keep their bounds; recvfrom() tells their sender and their real size', () => {
    using first = net.socket(AF_INET, SOCK_DGRAM, 0)
    using second = net.socket(AF_INET, SOCK_DGRAM, 0)
    for (const socket of [first, second]) net.bind(socket, { family: AF_INET, address: '127.0.0.1', port: 0 })
    const [from, to] = [net.getsockname(first), net.getsockname(second)]
    if (from === null || to === null) throw new TypeError('no address')
    expect(net.sendto(first, bytes('0123456789'), 0, to)).toBe(10)
    expect(net.sendto(first, new Uint8Array(0), 0, to)).toBe(0)
    const buffer = new Uint8Array(4)
    expect(net.recvfrom(second, buffer, MSG_PEEK | MSG_TRUNC)).toEqual({ size: 10, address: from })
    expect(net.recvfrom(second, buffer, 0)).toEqual({ size: 4, address: from })
    expect(net.recvfrom(second, buffer, 0)).toEqual({ size: 0, address: from })
    expect(codeOf(() => net.recvfrom(second, buffer, MSG_DONTWAIT))).toBe('EAGAIN')
    expect(codeOf(() => net.sendto(first, new Uint8Array(70_000), 0, to))).toBe('EMSGSIZE')
    expect(() => net.recvfrom(second, undefined as unknown as Uint8Array, 0)).toThrow(TypeError)
  })

  test('of netlink come from the kernel, port 0', () => {
    using netlink = net.socket(AF_NETLINK, SOCK_RAW, 0)
    net.bind(netlink, { family: AF_NETLINK, pid: 0, groups: 0 })
    const own = net.getsockname(netlink)
    expect(own).toMatchObject({ family: AF_NETLINK, groups: 0 })
    // nlmsghdr of RTM_GETLINK (18), NLM_F_REQUEST | NLM_F_DUMP, and an ifinfomsg.
    const request = new Uint8Array(new ArrayBuffer(32))
    const view = new DataView(request.buffer)
    view.setUint32(0, 32, true)
    view.setUint16(4, 18, true)
    view.setUint16(6, 0x301, true)
    net.sendto(netlink, request, 0, { family: AF_NETLINK, pid: 0, groups: 0 })
    const reply = net.recvfrom(netlink, new Uint8Array(65_536), 0)
    expect(reply.size).toBeGreaterThan(32)
    expect(reply.address).toEqual({ family: AF_NETLINK, pid: 0, groups: 0 })
  })
})

test('socketpair() joins two sockets; getsockopt() and setsockopt() read and set options', () => {
  const [first, second] = net.socketpair(AF_UNIX, SOCK_DGRAM, 0)
  using left = first
  using right = second
  write(left, bytes('x'))
  expect(read(right, new Uint8Array(8))).toBe(1)
  expect([...net.getsockopt(left, SOL_SOCKET, SO_TYPE)]).toEqual([SOCK_DGRAM, 0, 0, 0])
  net.setsockopt(left, SOL_SOCKET, SO_RCVBUF, 65_536)
  const size = net.getsockopt(left, SOL_SOCKET, SO_RCVBUF)
  // socket(7): the kernel doubles it.
  expect(new DataView(size.buffer).getInt32(0, true)).toBe(131_072)
  net.setsockopt(left, SOL_SOCKET, SO_RCVBUF, new Uint8Array(Int32Array.of(32_768).buffer))
  expect(codeOf(() => net.setsockopt(left, SOL_SOCKET, 9999, 1))).toBe('ENOPROTOOPT')
  expect(() => net.setsockopt(left, SOL_SOCKET, SO_RCVBUF, 1.5)).toThrow(RangeError)
})

describe('messages', () => {
  const pair = (type: number): [OwnedFd, OwnedFd] => net.socketpair(AF_UNIX, type, 0)

  test('sendmsg() and recvmsg() carry descriptors, close-on-exec', () => {
    const [first, second] = pair(SOCK_STREAM)
    using left = first
    using right = second
    using file = memfd_create('travels', 0)
    const control = [{ type: 'rights', fds: [file, left] }] as const
    expect(net.sendmsg(left, { buffers: [bytes('ab'), bytes('cde')], control })).toBe(5)
    const parts = [new Uint8Array(1), new Uint8Array(16)]
    const got = net.recvmsg(right, { buffers: parts })
    expect([
      got.size,
      got.flags,
      parts.map((part) => Buffer.from(part).toString().replaceAll('\0', '')),
    ]).toEqual([5, 0, ['a', 'bcde']])
    const rights = got.control.find((message) => message.type === 'rights')
    if (rights === undefined) throw new TypeError('no descriptors')
    using copy = rights.fds[0] as OwnedFd
    rights.fds[1]?.close()
    expect(readlinkSync(`/proc/self/fd/${copy.fd}`)).toBe('/memfd:travels (deleted)')
    expect(fcntl(copy, 1 /* F_GETFD */, 0)).toBe(1)
    expect(() => net.sendmsg(left, { buffers: [], control: [{ type: 'rights', fds: [-1] }] })).toThrow(
      RangeError,
    )
    expect(
      codeOf(() => net.sendmsg(left, { buffers: [bytes('x')], control: [{ type: 'rights', fds: [9999] }] })),
    ).toBe('EBADF')
    expect(codeOf(() => net.recvmsg(right, { buffers: parts }, MSG_DONTWAIT))).toBe('EAGAIN')
  })

  test('sendmsg() and recvmsg() carry credentials that the kernel vouches for', () => {
    const [first, second] = pair(SOCK_DGRAM)
    using left = first
    using right = second
    net.setsockopt(right, SOL_SOCKET, SO_PASSCRED, 1)
    const own = { pid: process.pid, uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 }
    net.sendmsg(left, { buffers: [bytes('x')], control: [{ type: 'credentials', credentials: own }] })
    expect(net.recvmsg(right, { buffers: [new Uint8Array(8)] }).control).toEqual([
      { type: 'credentials', credentials: own },
    ])
    const forged = { ...own, pid: 0x7fff_fffe }
    expect(
      codeOf(() =>
        net.sendmsg(left, { buffers: [bytes('x')], control: [{ type: 'credentials', credentials: forged }] }),
      ),
    ).toMatch(/ESRCH|EPERM/)
    const none = { buffers: [], control: [{ type: 'none' }] } as unknown as net.OutgoingMessage
    expect(() => net.sendmsg(left, none)).toThrow(TypeError)
  })

  test('recvmsg() says what was cut: bytes and control messages', () => {
    const [first, second] = pair(SOCK_DGRAM)
    using left = first
    using right = second
    using file = memfd_create('cut', 0)
    net.sendmsg(left, {
      buffers: [bytes('0123456789')],
      control: [{ type: 'rights', fds: [file, file, file] }],
    })
    const { size, flags, control } = net.recvmsg(right, { buffers: [new Uint8Array(4)], controlSizeMax: 24 })
    expect([size, flags & MSG_TRUNC, flags & MSG_CTRUNC]).toEqual([4, MSG_TRUNC, MSG_CTRUNC])
    for (const message of control) if (message.type === 'rights') for (const fd of message.fds) fd.close()
  })

  test('sendmmsg() and recvmmsg() move several datagrams by one call, with their addresses', () => {
    using from = net.socket(AF_INET, SOCK_DGRAM, 0)
    using to = net.socket(AF_INET, SOCK_DGRAM, 0)
    for (const socket of [from, to]) net.bind(socket, { family: AF_INET, address: '127.0.0.1', port: 0 })
    const [sender, address] = [net.getsockname(from), net.getsockname(to)]
    if (sender === null || address === null) throw new TypeError('no address')
    const words = ['one', 'three', '']
    expect(
      net.sendmmsg(
        from,
        words.map((word) => ({ buffers: [bytes(word)], address })),
      ),
    ).toEqual([3, 5, 0])
    const buffers = Array.from({ length: 5 }, () => new Uint8Array(8))
    const got = net.recvmmsg(
      to,
      buffers.map((buffer) => ({ buffers: [buffer] })),
      MSG_DONTWAIT,
    )
    expect(got.map(({ size, address: peer }) => [size, peer])).toEqual(
      [3, 5, 0].map((size) => [size, sender]),
    )
    expect(Buffer.from(buffers[1] ?? []).toString()).toBe('three\0\0\0')
    expect(net.sendmmsg(from, [])).toEqual([])
    expect(codeOf(() => net.recvmmsg(to, [{ buffers: [] }], MSG_DONTWAIT))).toBe('EAGAIN')
  })
})
