// Values of the command's flags; what cannot be read is an error, never a default.
import type { DiskOptions } from '../qemu/disk-types.ts'
import type { Forward } from '../qemu/types.ts'

/** `--share`, as it was typed: paths are still relative. */
export interface ShareFlag {
  /** Folder on the host. */
  readonly host: string
  /** Path in the guest; the host's path when it was left out. */
  readonly guest: string | undefined
  /** Whether the guest may only read. */
  readonly readOnly: boolean
}

/** `--env`: a variable with its value, or one whose value is the host's. */
export interface VariableFlag {
  readonly name: string
  readonly value: string | undefined
}

/** `--kernel`: a path has a slash, a package name never. */
export type KernelFlag = { readonly package: string } | { readonly image: string }

const KIB = 1024
const BYTES: Readonly<Record<string, number>> = { k: KIB, m: KIB ** 2, g: KIB ** 3, t: KIB ** 4 }

/** Bytes of `64K`, `1.5G`, `2GiB`; undefined when that is not what the text is. */
function sizeBytes(text: string): number | undefined {
  const match = /^(\d+(?:\.\d+)?)([KMGT])(?:i?B)?$/i.exec(text)
  if (match === null) return undefined
  return Number(match[1]) * (BYTES[(match[2] ?? '').toLowerCase()] ?? Number.NaN)
}

/** `--memory 512`, `--memory 1G`: MiB. */
export function parseMemory(text: string): number {
  const memoryMiB = /^\d{1,8}$/.test(text) ? Number(text) : (sizeBytes(text) ?? Number.NaN) / KIB ** 2
  if (Number.isInteger(memoryMiB) && memoryMiB > 0) return memoryMiB
  throw new SyntaxError(`expected MiB, or a size such as 1G, got ${JSON.stringify(text)}`)
}

/** `--disk 1G`: an empty one that goes with the machine; `--disk FILE[:ro]`: an image that stays. */
export function parseDisk(text: string): DiskOptions {
  const size = sizeBytes(text)
  if (size !== undefined) {
    // A disk consists of sectors, and one without any is none.
    if (size > 0 && size % 512 === 0) return { sizeBytes: size }
    throw new SyntaxError(`expected a size in whole sectors of 512 bytes, got ${JSON.stringify(text)}`)
  }
  const { path, readOnly } = withoutMode(text)
  if (path === '' || /^\d+$/.test(path))
    throw new SyntaxError(`expected a size such as 1G, or FILE[:ro], got ${JSON.stringify(text)}`)
  const format = path.endsWith('.qcow2') ? 'qcow2' : 'raw'
  return readOnly ? { file: path, format, readOnly } : { file: path, format, writable: true }
}

/** `--share HOST[:GUEST][:ro]`. */
export function parseShare(text: string): ShareFlag {
  const { path, readOnly } = withoutMode(text)
  const [host = '', guest, ...more] = path.split(':')
  if (host === '' || guest === '' || more.length > 0 || (guest !== undefined && !guest.startsWith('/'))) {
    throw new SyntaxError(
      `expected FOLDER[:/PATH/IN/THE/GUEST][:ro], without further colons, got ${JSON.stringify(text)}`,
    )
  }
  return { host, guest, readOnly }
}

function withoutMode(text: string): { path: string; readOnly: boolean } {
  const match = /^(.*):(ro|rw)$/s.exec(text)
  return { path: match?.[1] ?? text, readOnly: match?.[2] === 'ro' }
}

/** `--forward HOST:GUEST[/udp]`, `--forward PORT`. */
export function parseForward(text: string): Forward {
  const match = /^(?:(\d{1,5}):)?(\d{1,5})(?:\/(tcp|udp))?$/.exec(text)
  const guestPort = Number(match?.[2])
  const hostPort = match?.[1] === undefined ? guestPort : Number(match[1])
  if (match === null || guestPort < 1 || guestPort > 65_535 || hostPort > 65_535)
    throw new SyntaxError(`expected HOST:GUEST[/udp] or PORT, ports up to 65535, got ${JSON.stringify(text)}`)
  return { hostPort, guestPort, protocol: match[3] === 'udp' ? 'udp' : 'tcp' }
}

/** `--timeout 60s`, `500ms`, `5m`, `2h`; a number alone is seconds. Milliseconds. */
export function parseDuration(text: string): number {
  const match = /^(\d+(?:\.\d+)?)(ms|s|m|h)?$/.exec(text)
  const unitMs = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 }[match?.[2] ?? 's'] ?? Number.NaN
  const durationMs = Number(match?.[1]) * unitMs
  // Beyond this setTimeout fires at once (a signed 32-bit number in Node and Bun).
  if (durationMs > 0 && durationMs < 2 ** 31) return durationMs
  throw new SyntaxError(`expected a time such as 60s, 5m or 2h, up to 24 days, got ${JSON.stringify(text)}`)
}

/** `--env NAME=VALUE`, or `--env NAME` for the host's value. */
export function parseVariable(text: string): VariableFlag {
  const match = /^([^=\0]+)(?:=([^\0]*))?$/s.exec(text)
  if (match?.[1] === undefined)
    throw new SyntaxError(`expected NAME or NAME=VALUE, got ${JSON.stringify(text)}`)
  return { name: match[1], value: match[2] }
}

/** `--kernel linux-image-cloud-amd64`, `--kernel ./bzImage`. */
export function parseKernel(text: string): KernelFlag {
  if (text.includes('/')) return { image: text }
  // Debian policy, 5.6.7: names of packages.
  if (/^[a-z0-9][a-z0-9+.-]+$/.test(text)) return { package: text }
  throw new SyntaxError(`expected a package, or a file as ./FILE, got ${JSON.stringify(text)}`)
}

/** `--gdb`: any free port; `--gdb PORT`; `--gdb wait`: the machine stands still until a debugger says `continue`. */
export function parseGdb(text: string): true | number | 'wait' {
  if (text === '') return true
  if (text === 'wait') return text
  const port = Number(text)
  if (/^\d{1,5}$/.test(text) && port > 0 && port <= 65_535) return port
  throw new SyntaxError(`expected a port up to 65535, or wait, got ${JSON.stringify(text)}`)
}

/** `--cpus`: a whole number from 1 to 255 (as many as QEMU's q35 and virt take without more options). */
export function parseCpus(text: string): number {
  const cpus = Number(text)
  if (/^\d{1,3}$/.test(text) && cpus > 0 && cpus <= 255) return cpus
  throw new SyntaxError(`expected a whole number from 1 to 255, got ${JSON.stringify(text)}`)
}

/** A path. An empty word, such as a variable that is not set, must not become the present folder. */
export function parsePath(text: string): string {
  if (text === '') throw new SyntaxError('expected a path, got nothing')
  return text
}
