// Socket addresses: between objects and the kernel's sockaddr structs.
import {
  AF_ALG,
  AF_INET,
  AF_INET6,
  AF_NETLINK,
  AF_PACKET,
  AF_UNIX,
  AF_VSOCK,
} from '../generated/constants/socket.ts'
import { cString, fromCString, u32 } from '../raw/arguments.ts'
import { alloc, view } from '../struct.ts'
import * as structs from '../generated/structs/socket.ts'
import { formatIpv6, parseIpv4, parseIpv6 } from './ip-text.ts'

/** An address of a socket, by its family. */
export type SocketAddress =
  | { family: typeof AF_INET; /** `'10.0.2.15'` */ address: string; port: number }
  | { family: typeof AF_INET6; address: string; port: number; flowinfo?: number; scopeId?: number }
  | {
      family: typeof AF_NETLINK
      /** 0: the kernel. */ pid: number
      /** Bit n − 1 is group n. */ groups: number
    }
  | {
      family: typeof AF_PACKET
      /** ETH_P_* in host order. */
      protocol: number
      ifindex: number
      /** Hardware address. */
      address?: Uint8Array
    }
  | {
      family: typeof AF_UNIX
      /** A leading NUL: abstract, with all bytes after it, which may be NULs too. Empty: unnamed. */ path: string
    }
  | {
      family: typeof AF_ALG
      /** `hash`, `skcipher`, `aead`, `rng` */
      type: string
      /** An algorithm of /proc/crypto: `sha256`, `cbc(aes)` */
      name: string
    }
  | { family: typeof AF_VSOCK; cid: number; port: number }

/** Room for any address (`struct sockaddr_storage`), in bytes. */
export const socketAddressSizeMax = 128

/** `sun_path` begins here, and is this long (linux/un.h). */
const sunPathOffset = 2
const sunPathSizeMax = 108

/**
 * The kernel's form of an address.
 *
 * @throws TypeError or RangeError for one that cannot be: a port above 65535, a path over 107 bytes
 */
export function encodeSocketAddress(address: SocketAddress): Uint8Array {
  switch (address.family) {
    case AF_INET: {
      const result = alloc(structs.sockaddr_in)
      result.set('sin_family', AF_INET)
      result.set('sin_port', address.port)
      result.bytes.set(parseIpv4(address.address), structs.sockaddr_in.fields['sin_addr.s_addr'][1])
      return result.bytes
    }
    case AF_INET6: {
      const result = alloc(structs.sockaddr_in6)
      result.set('sin6_family', AF_INET6)
      result.set('sin6_port', address.port)
      result.set('sin6_flowinfo', address.flowinfo ?? 0)
      result.set('sin6_addr', parseIpv6(address.address))
      result.set('sin6_scope_id', address.scopeId ?? 0)
      return result.bytes
    }
    case AF_NETLINK: {
      const result = alloc(structs.sockaddr_nl)
      result.set('nl_family', AF_NETLINK)
      result.set('nl_pid', u32(address.pid, 'pid'))
      result.set('nl_groups', u32(address.groups, 'groups') >>> 0)
      return result.bytes
    }
    case AF_PACKET: {
      const result = alloc(structs.sockaddr_ll)
      result.set('sll_family', AF_PACKET)
      result.set('sll_protocol', address.protocol)
      result.set('sll_ifindex', address.ifindex)
      result.set('sll_halen', address.address?.length ?? 0)
      if (address.address !== undefined) result.set('sll_addr', address.address)
      return result.bytes
    }
    case AF_UNIX:
      return encodeUnix(address.path)
    case AF_ALG: {
      const result = alloc(structs.sockaddr_alg)
      result.set('salg_family', AF_ALG)
      result.set('salg_type', field(address.type, 'type', structs.sockaddr_alg.fields.salg_type[2]))
      result.set('salg_name', field(address.name, 'name', structs.sockaddr_alg.fields.salg_name[2]))
      return result.bytes
    }
    case AF_VSOCK: {
      const result = alloc(structs.sockaddr_vm)
      result.set('svm_family', AF_VSOCK)
      result.set('svm_port', u32(address.port, 'port') >>> 0)
      result.set('svm_cid', u32(address.cid, 'cid') >>> 0)
      return result.bytes
    }
    default:
      throw new TypeError(`not an address family: ${String((address as { family: unknown }).family)}`)
  }
}

/** `text` as a field that a NUL ends: longer ones would be cut without a word. */
function field(text: string, name: string, size: number): Uint8Array {
  const encoded = cString(text, name)
  if (encoded.length > size) throw new RangeError(`${name} is longer than ${size - 1} bytes: ${text}`)
  return encoded
}

/**
 * A path ends with a NUL; an abstract name begins with one and ends where the length says (unix(7)): programs in C that
 * bind with the whole struct have names that end with many.
 */
function encodeUnix(path: string): Uint8Array {
  const abstract = path.startsWith('\0')
  if (!abstract && path.includes('\0')) throw new TypeError('path contains a NUL byte')
  const name = new TextEncoder().encode(abstract || path === '' ? path : `${path}\0`)
  if (name.length > sunPathSizeMax)
    throw new RangeError(`path is longer than ${sunPathSizeMax - 1} bytes: ${path}`)
  const bytes = new Uint8Array(new ArrayBuffer(sunPathOffset + name.length))
  new DataView(bytes.buffer).setUint16(0, AF_UNIX, true)
  bytes.set(name, sunPathOffset)
  return bytes
}

/** The address in the first `sizeBytes` of `bytes`; null for none or a family that is not known here. */
export function decodeSocketAddress(bytes: Uint8Array<ArrayBuffer>, sizeBytes: number): SocketAddress | null {
  if (sizeBytes < sunPathOffset) return null
  const family = new DataView(bytes.buffer, bytes.byteOffset).getUint16(0, true)
  switch (family) {
    case AF_INET: {
      const from = view(structs.sockaddr_in, bytes)
      const at = structs.sockaddr_in.fields['sin_addr.s_addr'][1]
      return { family, address: bytes.subarray(at, at + 4).join('.'), port: from.get('sin_port') }
    }
    case AF_INET6: {
      const from = view(structs.sockaddr_in6, bytes)
      return {
        family,
        address: formatIpv6(from.get('sin6_addr')),
        port: from.get('sin6_port'),
        flowinfo: from.get('sin6_flowinfo'),
        scopeId: from.get('sin6_scope_id'),
      }
    }
    case AF_NETLINK: {
      const from = view(structs.sockaddr_nl, bytes)
      return { family, pid: from.get('nl_pid'), groups: from.get('nl_groups') }
    }
    case AF_PACKET: {
      const from = view(structs.sockaddr_ll, bytes)
      const address = from.get('sll_addr').slice(0, from.get('sll_halen'))
      return { family, protocol: from.get('sll_protocol'), ifindex: from.get('sll_ifindex'), address }
    }
    case AF_UNIX: {
      const name = new TextDecoder().decode(bytes.subarray(sunPathOffset, sizeBytes))
      return { family, path: name.startsWith('\0') ? name : name.replace(/\0.*$/s, '') }
    }
    case AF_ALG: {
      const from = view(structs.sockaddr_alg, bytes)
      return { family, type: fromCString(from.get('salg_type')), name: fromCString(from.get('salg_name')) }
    }
    case AF_VSOCK: {
      const from = view(structs.sockaddr_vm, bytes)
      return { family, cid: from.get('svm_cid'), port: from.get('svm_port') }
    }
    default:
      return null
  }
}
