/**
 * The firmware's boot entries for our loader. systemd-boot 252 returns to the firmware when the kernel that it chose
 * cannot be loaded, having counted the try; the firmware then goes on to its next entry. So there are as many entries
 * for the one loader as it takes until the counter of a bad slot has run out and the other slot is chosen. Without
 * them the firmware would end in its shell.
 */
import { encodeLoadOption, type EntryPartition, isLoadOption, type LoadOption } from './load-option.ts'
import { EFIVARS, GLOBAL_VENDOR, readVariable, variableNames, writeVariable } from './variables.ts'

/** Three tries of the bad slot, and one for the good one. */
const ENTRIES = 4

/** Our loader at the path where firmware looks on a disk that it does not know, for each architecture. */
const LOADER_PATHS: Readonly<Record<string, string>> = {
  x64: '\\EFI\\BOOT\\BOOTX64.EFI',
  arm64: '\\EFI\\BOOT\\BOOTAA64.EFI',
}

/**
 * Sees to it that the firmware has its entries for the loader on this partition, and tries them first, one after the
 * other. Nothing is written when all is as it should be: flash memory wears.
 *
 * @returns what was done, for the log
 * @throws SysError the firmware refuses
 */
export function ensureBootEntries(partition: EntryPartition, folder: string = EFIVARS): string {
  const path = LOADER_PATHS[process.arch] ?? ''
  const wanted = Array.from({ length: ENTRIES }, (_, index): LoadOption => {
    return { description: `Solo ${index + 1}`, partition, path }
  })
  const there = existingEntries(folder)
  const ids = wanted.map((option) => take(there, option) ?? create(there, option, folder))
  const order = readOrder(folder)
  if (ids.every((id, index) => order[index] === id)) return 'as they should be'
  writeOrder([...ids, ...order.filter((id) => !ids.includes(id))], folder)
  return `first ${ids.map(entryName).join(' ')}`
}

/** All entries that exist, by number. */
function existingEntries(folder: string): Map<number, Uint8Array> {
  const found = new Map<number, Uint8Array>()
  for (const name of variableNames(GLOBAL_VENDOR, folder)) {
    const [, digits] = /^Boot([0-9A-F]{4})$/.exec(name) ?? []
    const value = digits === undefined ? null : readVariable(name, GLOBAL_VENDOR, folder)
    if (digits !== undefined && value !== null) found.set(Number.parseInt(digits, 16), value)
  }
  return found
}

/** The number of such an entry. What firmware has made of it stays: made anew, it would be one more at each boot. */
function take(there: ReadonlyMap<number, Uint8Array>, option: LoadOption): number | undefined {
  for (const [id, value] of there) if (isLoadOption(value, option)) return id
  return undefined
}

function create(there: Map<number, Uint8Array>, option: LoadOption, folder: string): number {
  let id = 0
  while (there.has(id)) id++
  const value = encodeLoadOption(option)
  writeVariable(entryName(id), GLOBAL_VENDOR, value, folder)
  there.set(id, value)
  return id
}

function entryName(id: number): string {
  return `Boot${id.toString(16).toUpperCase().padStart(4, '0')}`
}

function readOrder(folder: string): number[] {
  const value = readVariable('BootOrder', GLOBAL_VENDOR, folder) ?? new Uint8Array()
  const view = new DataView(value.buffer, value.byteOffset, value.byteLength)
  return Array.from({ length: value.length >> 1 }, (_, index) => view.getUint16(2 * index, true))
}

function writeOrder(ids: readonly number[], folder: string): void {
  const value = new Uint8Array(2 * ids.length)
  const view = new DataView(value.buffer)
  for (const [index, id] of ids.entries()) view.setUint16(2 * index, id, true)
  writeVariable('BootOrder', GLOBAL_VENDOR, value, folder)
}
