/**
 * Values of extended attributes that the kernel reads.
 *
 * What is written: `security.capability` of revision 2, which holds in every user namespace that maps the file's
 * owner; not revision 3, which names the root user of one namespace.
 *
 * @see https://man7.org/linux/man-pages/man7/capabilities.7.html
 */

/** By number (linux/capability.h). */
const names = [
  'chown',
  'dac_override',
  'dac_read_search',
  'fowner',
  'fsetid',
  'kill',
  'setgid',
  'setuid',
  'setpcap',
  'linux_immutable',
  'net_bind_service',
  'net_broadcast',
  'net_admin',
  'net_raw',
  'ipc_lock',
  'ipc_owner',
  'sys_module',
  'sys_rawio',
  'sys_chroot',
  'sys_ptrace',
  'sys_pacct',
  'sys_admin',
  'sys_boot',
  'sys_nice',
  'sys_resource',
  'sys_time',
  'sys_tty_config',
  'mknod',
  'lease',
  'audit_write',
  'audit_control',
  'setfcap',
  'mac_override',
  'mac_admin',
  'syslog',
  'wake_alarm',
  'block_suspend',
  'audit_read',
  'perfmon',
  'bpf',
  'checkpoint_restore',
] as const

/** A capability, as `cap_net_bind_service`. */
export type CapabilityName = `cap_${(typeof names)[number]}`

/** VFS_CAP_REVISION_2 and VFS_CAP_FLAGS_EFFECTIVE. */
const revision2 = 0x0200_0000
const effectiveFlag = 1

/** What a program gets from its file. */
export interface FileCapabilities {
  /** Those that it has whoever starts it, within the bounding set. */
  readonly permitted?: readonly CapabilityName[]
  /** Those that it keeps if its caller has them as inheritable. */
  readonly inheritable?: readonly CapabilityName[]
  /** Whether they are in effect from the start; a program that does not know of capabilities needs this. Default: true. */
  readonly effective?: boolean
}

/**
 * The value of `security.capability`, a `struct vfs_cap_data` of 20 bytes: what `setcap` writes.
 *
 * @throws TypeError for a name that is no capability
 * @see https://man7.org/linux/man-pages/man7/capabilities.7.html
 *
 * @example
 * ```ts
 * import { FileTree } from '@pkg/image/tree'
 * import { fileCapabilities } from '@pkg/image/xattr'
 *
 * const xattrs = { 'security.capability': fileCapabilities({ permitted: ['cap_net_raw'] }) }
 * new FileTree().add({ path: '/bin/ping', type: 'file', mode: 0o755, content: new Uint8Array(10), xattrs })
 * ```
 */
export function fileCapabilities(capabilities: FileCapabilities): Uint8Array {
  const permitted = maskOf(capabilities.permitted ?? [])
  const inheritable = maskOf(capabilities.inheritable ?? [])
  const value = new DataView(new ArrayBuffer(20))
  value.setUint32(0, revision2 | (capabilities.effective === false ? 0 : effectiveFlag), true)
  for (const word of [0, 1]) {
    const shift = BigInt(32 * word)
    value.setUint32(4 + 8 * word, Number((permitted >> shift) & 0xffff_ffffn), true)
    value.setUint32(8 + 8 * word, Number((inheritable >> shift) & 0xffff_ffffn), true)
  }
  return new Uint8Array(value.buffer)
}

function maskOf(capabilities: readonly CapabilityName[]): bigint {
  return capabilities.reduce((mask, name) => {
    const number = names.findIndex((known) => `cap_${known}` === name)
    if (number === -1)
      throw new TypeError(`${JSON.stringify(name)} is no capability, expected one as cap_net_raw`)
    return mask | (1n << BigInt(number))
  }, 0n)
}
