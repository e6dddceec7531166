/** What partitions are for: type GUIDs and attribute bits by name. */

/**
 * GUIDs of partition types, by which systems find their partitions without being told.
 *
 * @see https://uapi-group.org/specifications/specs/discoverable_partitions_specification/
 */
export const partitionTypes = {
  /** EFI System Partition: what firmware boots from. */
  esp: 'c12a7328-f81f-11d2-ba4b-00a0c93ec93b',
  /** Extended boot loader partition: more room for kernels. */
  xbootldr: 'bc13c2ff-59e6-4262-a352-b275fd6f7172',
  /** Root of an x86-64 system. */
  rootX86_64: '4f68bce3-e8cd-4db1-96e7-fbcaf984b709',
  /** dm-verity hashes of a root for x86-64. */
  rootX86_64Verity: '2c7357ed-ebd2-46d9-aec1-23d437ec2bf5',
  /** Signature of a root hash for x86-64. */
  rootX86_64VeritySignature: '41092b05-9fc8-4523-994f-2def0408b176',
  /** Root of an arm64 system. */
  rootArm64: 'b921b045-1df0-41c3-af44-4c6f280d3fae',
  /** dm-verity hashes of a root for arm64. */
  rootArm64Verity: 'df3300ce-d69f-4c92-978c-9bfb0f38d820',
  /** Signature of a root hash for arm64. */
  rootArm64VeritySignature: '6db69de6-29f4-4758-a7a5-962190f00ce3',
  /** `/var`. */
  var: '4d21b016-b534-45c2-a9fb-5c16e091fd2d',
  /** Any Linux file system. */
  linux: '0fc63daf-8483-4772-8e79-3d69d8477de4',
} as const

/**
 * Bits of a partition's attributes: the lower ones are UEFI's (UEFI 2.10, table 5.8), the upper ones those of
 * discoverable partitions.
 *
 * @see https://uapi-group.org/specifications/specs/discoverable_partitions_specification/
 */
export const partitionAttributes = {
  /** The platform needs it: not to be deleted or changed. */
  required: 0x0000_0000_0000_0001n,
  /** Firmware is not to look into it. */
  noBlockIo: 0x0000_0000_0000_0002n,
  /** A BIOS may boot from it. */
  legacyBoot: 0x0000_0000_0000_0004n,
  /** Its file system is to be grown to the partition's size when it is mounted. */
  growFileSystem: 0x0800_0000_0000_0000n,
  /** To be mounted read-only. */
  readOnly: 0x1000_0000_0000_0000n,
  /** Not to be mounted by systems that look for their partitions. */
  noAuto: 0x8000_0000_0000_0000n,
} as const
