// How systemd-boot 252 finds, sorts and counts the unified kernel images of /EFI/Linux, written down from its source
// (src/boot/efi/boot.c and efi-string.c) and not from our own code, which is what is judged.

/** An entry of the loader's list. */
export interface LoaderEntry {
  /** Its file's name. */
  readonly file: string
  /** `IMAGE_ID` or `ID` of its os-release. */
  readonly sortKey: string
  /** `IMAGE_VERSION`, `VERSION_ID` or `BUILD_ID` of its os-release. */
  readonly version: string
  /** Tries left; undefined for an entry that is not counted. */
  readonly left: number | undefined
  /** Tries made. */
  readonly done: number
}

/** Whether `config_entry_add_unified` looks at a file of this name at all. */
export function isCandidate(file: string): boolean {
  return /\.efi$/i.test(file) && !file.startsWith('.') && !/^auto-/i.test(file)
}

/**
 * The entry that a file of `/EFI/Linux` is, by the text of its `.osrel`; undefined when the loader shows none.
 *
 * @see bootspec_pick_name_version_sort_key(), config_entry_parse_tries()
 */
export function loaderEntry(file: string, osRelease: string): LoaderEntry | undefined {
  const values = new Map<string, string>()
  for (const line of osRelease.split('\n')) {
    const [, key = '', value = ''] = /^\s*([^=#\s][^=]*)=(.*?)\s*$/.exec(line) ?? []
    values.set(key, value.replace(/^(["'])(.*)\1$/, '$2'))
  }
  const first = (...keys: string[]): string | undefined =>
    keys.map((key) => values.get(key)).find((value) => value !== undefined && value !== '')
  const sortKey = first('IMAGE_ID', 'ID')
  const title = first('PRETTY_NAME', 'IMAGE_ID', 'NAME', 'ID')
  if (sortKey === undefined || title === undefined) return undefined
  const version = first('IMAGE_VERSION', 'VERSION', 'VERSION_ID', 'BUILD_ID') ?? ''
  // The last plus counts, and the counter ends where the suffix begins.
  const [, left, done] = /^.*\+(\d+)(?:-(\d+))?\.efi$/i.exec(file) ?? []
  return {
    ...{ file, sortKey, version },
    left: left === undefined ? undefined : Number(left),
    done: Number(done ?? 0),
  }
}

/** The name under which the loader counts a try, before it starts the entry; the same for one that is not counted. */
export function countedName({ file, left, done }: LoaderEntry): string {
  if (left === undefined) return file
  return file.replace(/\+\d+(-\d+)?(?=\.efi$)/i, `+${Math.max(0, left - 1)}-${done + 1}`)
}

/** Which of two entries the loader starts first, as config_entry_compare() has it: the first of the list is started. */
export function compareEntries(one: LoaderEntry, other: LoaderEntry): number {
  return (
    Number(one.left === 0) - Number(other.left === 0) ||
    compareText(one.sortKey, other.sortKey) ||
    -compareVersions(one.version, other.version) ||
    -compareVersions(one.file.toLowerCase(), other.file.toLowerCase()) ||
    compareTries(one, other)
  )
}

function compareTries(one: LoaderEntry, other: LoaderEntry): number {
  if (one.left === undefined || other.left === undefined) return 0
  return other.left - one.left || one.done - other.done
}

function compareText(one: string, other: string): number {
  if (one === other) return 0
  return one < other ? -1 : 1
}

/** Where a version's text is cut: what separates in this order of weight, then numbers and words. */
const SEPARATORS = ['~', '-', '^', '.']

/** strverscmp_improved() of efi-string.c: the order of the UAPI group's version format specification. */
export function compareVersions(one: string, other: string): number {
  let [left, right] = [one, other]
  for (;;) {
    left = left.replace(/^[^a-zA-Z0-9~\-^.]+/, '')
    right = right.replace(/^[^a-zA-Z0-9~\-^.]+/, '')
    for (const separator of SEPARATORS) {
      const [inLeft, inRight] = [left.startsWith(separator), right.startsWith(separator)]
      if (separator === '-' && (left === '' || right === '')) {
        // The end is below all but a tilde, which has been looked at.
        if (left === right) return 0
        return left === '' ? -1 : 1
      }
      if (inLeft !== inRight) return inLeft ? -1 : 1
      if (inLeft) [left, right] = [left.slice(1), right.slice(1)]
    }
    const kind = /^\d/.test(left) || /^\d/.test(right) ? /^\d*/ : /^[a-zA-Z]*/
    const [leftPart, rightPart] = [kind.exec(left)?.[0] ?? '', kind.exec(right)?.[0] ?? '']
    const order = kind.source.includes('d')
      ? compareNumbers(leftPart, rightPart)
      : compareText(leftPart, rightPart)
    if (order !== 0) return order
    left = left.slice(leftPart.length)
    right = right.slice(rightPart.length)
  }
}

function compareNumbers(one: string, other: string): number {
  // No number at all is below zero.
  if (one === '' || other === '') return one.length - other.length
  const [left, right] = [one.replace(/^0+/, ''), other.replace(/^0+/, '')]
  return left.length - right.length || compareText(left, right)
}
