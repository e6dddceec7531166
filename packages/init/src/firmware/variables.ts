/**
 * Variables of UEFI firmware, as files of efivarfs: four bytes of attributes, then the value. The kernel takes a
 * write only whole, as one write(2).
 *
 * @see https://docs.kernel.org/filesystems/efivarfs.html
 * @see https://uefi.org/specs/UEFI/2.10/08_Services_Runtime_Services.html#variable-services
 */
import { AT_FDCWD, O_CREAT, O_WRONLY } from '@pkg/sys/constants'
import { isSysError } from '@pkg/sys/errno'
import { openat } from '@pkg/sys/fs'
import { write } from '@pkg/sys/io'
import { namesIn } from '../shell/folder.ts'
import { readBytes } from '../shell/text-file.ts'

/** Where the kernel offers efivarfs; the folder is there only on machines that were started by UEFI. */
export const EFIVARS = '/sys/firmware/efi/efivars'

/** EFI_GLOBAL_VARIABLE: the firmware's own. */
export const GLOBAL_VENDOR = '8be4df61-93ca-11d2-aa0d-00e098032b8c'

/** The boot loader's, by the Boot Loader Interface. */
export const LOADER_VENDOR = '4a67b082-0a4c-41cf-b6c7-440b29bb8c4f'

/** NON_VOLATILE | BOOTSERVICE_ACCESS | RUNTIME_ACCESS: kept over reboots, as boot entries must be. */
const KEPT = 0x7

/** Reads a variable; null where it, or all of UEFI, is not there. */
export function readVariable(name: string, vendor: string, folder: string = EFIVARS): Uint8Array | null {
  try {
    const bytes = readBytes(`${folder}/${name}-${vendor}`)
    return bytes.length < 4 ? null : bytes.subarray(4)
  } catch (error) {
    if (isSysError(error, 'ENOENT')) return null
    throw error
  }
}

/** A variable that is text, in UTF-16 with a NUL at its end; null where it is not there. */
export function readVariableText(name: string, vendor: string, folder: string = EFIVARS): string | null {
  const value = readVariable(name, vendor, folder)
  return value === null ? null : new TextDecoder('utf-16le').decode(value).replace(/\0[^]*$/, '')
}

/**
 * Writes a variable that stays over reboots.
 *
 * @throws SysError `ENOSPC` the firmware has no room; `EACCES`, `EPERM` it may not be written
 */
export function writeVariable(
  name: string,
  vendor: string,
  value: Uint8Array,
  folder: string = EFIVARS,
): void {
  const bytes = new Uint8Array(4 + value.length)
  bytes[0] = KEPT
  bytes.set(value, 4)
  using file = openat(AT_FDCWD, `${folder}/${name}-${vendor}`, O_WRONLY | O_CREAT, 0o644)
  write(file, bytes)
}

/** The names of a vendor's variables. */
export function variableNames(vendor: string, folder: string = EFIVARS): string[] {
  const end = `-${vendor}`
  return namesIn(folder).flatMap((name) => (name.endsWith(end) ? [name.slice(0, -end.length)] : []))
}
