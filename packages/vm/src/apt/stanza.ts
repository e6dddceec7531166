// The paragraphs that apt-cache prints: fields, and the dependencies in them.

/** One package as the archive's index describes it. */
export interface PackageRecord {
  /** The package. */
  readonly name: string
  /** Its version. */
  readonly version: string
  /** Debian's name of its architecture, or `all`. */
  readonly architecture: string
  /** Size of the .deb file. */
  readonly sizeBytes: number
  /** Hash of the .deb file, in hexadecimal. */
  readonly sha256: string
  /** Pre-Depends and Depends: each entry is a list of alternatives. */
  readonly dependencies: readonly (readonly Dependency[])[]
}

/** One alternative of a dependency. */
export interface Dependency {
  /** The package, or what several packages provide. */
  readonly name: string
  /** The exact version, when the dependency has one (`= version`). */
  readonly version?: string
}

/**
 * Parses what `apt-cache show` prints. Paragraphs without a file (virtual packages) are left out.
 *
 * @see https://www.debian.org/doc/debian-policy/ch-controlfields.html
 */
export function parseRecords(text: string): PackageRecord[] {
  const records: PackageRecord[] = []
  for (const paragraph of text.split(/\n\s*\n/)) {
    const fields = parseFields(paragraph)
    const name = fields.get('package')
    const version = fields.get('version')
    const sha256 = fields.get('sha256')
    const sizeBytes = Number(fields.get('size'))
    if (name === undefined || version === undefined || sha256 === undefined || !(sizeBytes > 0)) continue
    const dependencies = [fields.get('pre-depends'), fields.get('depends')].flatMap((field) =>
      field === undefined ? [] : parseDependencies(field),
    )
    records.push({
      name,
      version,
      architecture: fields.get('architecture') ?? 'all',
      sizeBytes,
      sha256,
      dependencies,
    })
  }
  return records
}

function parseFields(paragraph: string): Map<string, string> {
  const fields = new Map<string, string>()
  let last = ''
  for (const line of paragraph.split('\n')) {
    const match = /^([!-9;-~]+):\s*(.*)$/.exec(line)
    if (match !== null) {
      last = (match[1] as string).toLowerCase()
      fields.set(last, match[2] as string)
    } else if (/^\s/.test(line) && last !== '') {
      fields.set(last, `${fields.get(last)} ${line.trim()}`)
    }
  }
  return fields
}

/** Parses a Depends field: `a (= 1), b:any | c (>= 2)`. */
export function parseDependencies(field: string): Dependency[][] {
  return field
    .split(',')
    .map((group) =>
      group.split('|').flatMap((alternative) => {
        const match = /^\s*([^\s:(]+)(?::\w+)?\s*(?:\(\s*(<<|<=|=|>=|>>)\s*([^\s)]+)\s*\))?/.exec(alternative)
        if (match === null) return []
        const name = match[1] as string
        return match[2] === '=' ? [{ name, version: match[3] as string }] : [{ name }]
      }),
    )
    .filter((group) => group.length > 0)
}
