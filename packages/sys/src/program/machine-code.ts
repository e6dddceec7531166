// Machine code as a listing has it: text, which costs nothing to import.

/** The bytes of a listing, each of whose lines begins with those of an instruction in hexadecimal, after two spaces. */
export function machineCode(listing: string): Uint8Array {
  const digits = Array.from(listing.matchAll(/^ {2}([0-9a-f]+) /gm), ([, code = '']) => code).join('')
  return Uint8Array.from(digits.match(/../g) ?? [], (byte) => Number.parseInt(byte, 16))
}
