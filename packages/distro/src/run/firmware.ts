// UEFI firmware for `solo run`: Debian's OVMF.
import { kindOf } from '@pkg/vm/host'
import type { Firmware } from '@pkg/vm/qemu'
import { SoloError } from '../error.ts'

/** Where Debian and Ubuntu put it: the code, and variables to begin with. */
const OVMF: Firmware = {
  code: '/usr/share/OVMF/OVMF_CODE_4M.fd',
  variables: '/usr/share/OVMF/OVMF_VARS_4M.fd',
}

/**
 * The firmware. What it writes into its variables is gone at the guest's end.
 *
 * @throws SoloError it is not installed
 */
export async function ovmf(): Promise<Firmware> {
  if ((await kindOf(OVMF.code)) === 'file') return OVMF
  throw new SoloError('UEFI firmware for QEMU is not installed: apt-get install ovmf (or boot with --direct)')
}
