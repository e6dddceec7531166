/**
 * SBAT, the table by which shim revokes old versions of EFI programs: lines of comma-separated fields, component and
 * generation first.
 *
 * @see https://github.com/rhboot/shim/blob/main/SBAT.md
 */

/** One component of an EFI program. */
export interface SbatEntry {
  /** As `systemd-stub`; one of a distribution's own has its name behind a dot. */
  readonly component: string
  /** Versions of the component below the generation that shim demands are refused. */
  readonly generation: number
  /** The whole line, with vendor, package, version and URL. */
  readonly line: string
}

const header = 'sbat,1,SBAT Version,sbat,1,https://github.com/rhboot/shim/blob/main/SBAT.md'

/**
 * Reads a table.
 *
 * @throws TypeError for a line that has no component and generation
 */
export function parseSbat(text: string): SbatEntry[] {
  const lines = text
    .replaceAll('\0', '')
    .split('\n')
    .map((line) => line.trim())
  return lines
    .filter((line) => line !== '')
    .map((line) => {
      const [, component, generation] = /^([^,\s]+),(\d+)(?:,|$)/.exec(line) ?? []
      if (component === undefined || generation === undefined) {
        throw new TypeError(`SBAT line ${JSON.stringify(line)}: expected COMPONENT,GENERATION,…`)
      }
      return { component, generation: Number(generation), line }
    })
}

/** The stub's table, and after it the lines that it does not have; a table of its own begins with SBAT's own line. */
export function mergeSbat(stub: string | undefined, added: string): string {
  const lines = [...parseSbat(stub ?? header), ...parseSbat(added)].map(({ line }) => line)
  return [...new Set(lines)].map((line) => `${line}\n`).join('')
}
