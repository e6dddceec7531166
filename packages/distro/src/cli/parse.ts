// Values of flags; what cannot be read is an error, never a default.
import { type BuildFormat, buildFormats } from '../build/format.ts'
import type { RunForward } from '../run.ts'

/** `--format`. */
export function parseFormat(text: string): BuildFormat {
  const format = buildFormats.find((each) => each === text)
  if (format !== undefined) return format
  throw new SyntaxError(`expected one of ${buildFormats.join(', ')}, got ${JSON.stringify(text)}`)
}

/** `--out`. An empty word, such as a variable that is not set, must not become the present folder. */
export function parseFolder(text: string): string {
  if (text === '') throw new SyntaxError('expected a folder, got nothing')
  return text
}

/** `--forward HOST:GUEST` or `PORT`. */
export function parseForward(text: string): RunForward {
  const match = /^(?:(\d{1,5}):)?(\d{1,5})$/.exec(text)
  const guest = Number(match?.[2])
  const host = match?.[1] === undefined ? guest : Number(match[1])
  if (match === null || guest < 1 || guest > 65_535 || host > 65_535) {
    throw new SyntaxError(`expected HOST:GUEST or PORT, ports up to 65535, got ${JSON.stringify(text)}`)
  }
  return { host, guest }
}

/** A whole number from 1 on. */
export function parseCount(text: string): number {
  if (!/^[1-9]\d{0,8}$/.test(text))
    throw new SyntaxError(`expected a whole number, got ${JSON.stringify(text)}`)
  return Number(text)
}
