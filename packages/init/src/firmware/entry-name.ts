/**
 * File names of boot entries with their counter: `soloa+2-1.efi` has two tries left and one behind it.
 *
 * @see https://uapi-group.org/specifications/specs/boot_loader_specification/#boot-counting
 */

/** The parts of an entry's file name. */
export interface EntryName {
  /** What is before the counter: the slot. */
  readonly slot: string
  /** Tries left; null where nothing is counted. */
  readonly left: number | null
  /** Tries behind it. */
  readonly done: number
}

/** Tries of an entry. The counter stays one digit wide, so that a rename changes one directory entry in its place. */
export const TRIES = 3

/** The parts of a file name; null for a file that is no entry. */
export function parseEntryName(file: string): EntryName | null {
  const match = /^(.+?)(?:\+(\d+)(?:-(\d+))?)?\.efi$/i.exec(file)
  if (match === null) return null
  const [, stem = '', left, done = '0'] = match
  const slot = stem.replace(/^solo([ab])$/i, (_, letter: string) => `solo-${letter.toLowerCase()}`)
  return { slot, left: left === undefined ? null : Number(left), done: Number(done) }
}

/** A slot's file name with all its tries before it. */
export function freshEntryName(slot: string): string {
  return `${stemOf(slot)}+${TRIES}-0.efi`
}

/** A slot's file name with none left: the loader takes every other one first. */
export function spentEntryName(slot: string): string {
  return `${stemOf(slot)}+0-${TRIES}.efi`
}

/** An entry's file name after one try more. */
export function triedEntryName({ slot, left, done }: EntryName): string {
  return `${stemOf(slot)}+${Math.max((left ?? 0) - 1, 0)}-${done + 1}.efi`
}

/**
 * Without the hyphen a name has thirteen characters, which is what one directory entry of FAT holds: with its short
 * name it takes two. So all names that three failed tries leave behind lie in the one sector of the folder's first
 * cluster, and the firmware's renaming stays one write.
 */
function stemOf(slot: string): string {
  return slot.replace(/^solo-([ab])$/, 'solo$1')
}
