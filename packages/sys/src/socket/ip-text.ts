// Internet addresses as text: inet_pton(3) and inet_ntop(3).

/**
 * The four bytes of dotted-decimal text.
 *
 * @throws TypeError for anything else, names and shortened forms too
 */
export function parseIpv4(text: string): Uint8Array {
  const parts = text.split('.')
  // No leading zeros: some parsers read them as octal.
  const valid =
    parts.length === 4 && parts.every((part) => /^(0|[1-9]\d{0,2})$/.test(part) && Number(part) <= 255)
  if (!valid) throw new TypeError(`not an IPv4 address: ${text}`)
  return Uint8Array.from(parts, Number)
}

/**
 * The sixteen bytes of an IPv6 address (RFC 4291 §2.2). A scope (`%eth0`) is refused: pass its id.
 *
 * @throws TypeError for anything else
 */
export function parseIpv6(text: string): Uint8Array {
  // ::ffff:10.0.2.15: the last two groups may be written as an IPv4 address.
  const hex = text.replace(/(?<=:)\d+\.\d+\.\d+\.\d+$/, (ipv4) => {
    const [a = 0, b = 0, c = 0, d = 0] = parseIpv4(ipv4)
    return `${((a << 8) | b).toString(16)}:${((c << 8) | d).toString(16)}`
  })
  const [before, after, ...more] = hex.split('::').map(hexGroups)
  const shortened = after !== undefined
  const given = (before?.length ?? 0) + (after?.length ?? 0)
  // `::` stands for one group of zeros at least (RFC 5952 §4.2.2 writes it for two, and reads one).
  const valid = before !== undefined && more.length === 0 && (shortened ? given <= 7 : given === 8)
  if (!valid || [...before, ...(after ?? [])].some(Number.isNaN))
    throw new TypeError(`not an IPv6 address: ${text}`)
  const zeros = Array.from({ length: 8 - given }, () => 0)
  return Uint8Array.from(
    [...before, ...zeros, ...(after ?? [])].flatMap((group) => [group >> 8, group & 0xff]),
  )
}

/** The 16-bit groups between colons; NaN for one that is none. */
function hexGroups(part: string): number[] {
  if (part === '') return []
  return part
    .split(':')
    .map((group) => (/^[0-9a-f]{1,4}$/i.test(group) ? Number.parseInt(group, 16) : Number.NaN))
}

/** `::ffff:0:0/96`, RFC 4291 §2.5.5.2. */
const ipv4MappedPrefix = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff]

/**
 * The canonical text of sixteen bytes (RFC 5952): lower case, the longest run of zero groups shortened, an
 * IPv4-mapped address with its last four bytes in decimal (§5).
 */
export function formatIpv6(bytes: Uint8Array): string {
  if (ipv4MappedPrefix.every((byte, index) => bytes[index] === byte)) {
    return `::ffff:${bytes.subarray(12, 16).join('.')}`
  }
  const groups = Array.from(
    { length: 8 },
    (_, index) => ((bytes[2 * index] ?? 0) << 8) | (bytes[2 * index + 1] ?? 0),
  )
  let [start, length] = [0, 0]
  for (let from = 0; from < 8; from++) {
    let run = 0
    while (from + run < 8 && groups[from + run] === 0) run++
    if (run > length) [start, length] = [from, run]
  }
  const hex = (part: number[]): string => part.map((group) => group.toString(16)).join(':')
  if (length < 2) return hex(groups)
  return `${hex(groups.slice(0, start))}::${hex(groups.slice(start + length))}`
}
