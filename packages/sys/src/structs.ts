/**
 * Layouts of the kernel's structs under their own names, for {@link alloc} and {@link view} of `@pkg/sys/struct`.
 *
 * Each is `{ size, fields: { name: [type, offset, count?] } }`. Nested structs are written out with dots
 * (`sq_off.head`); members of anonymous unions overlap, as in C; `be16` to `be64` are big-endian (`__be16`), so
 * ports and EtherTypes are set as plain numbers. An array of structs is bytes; a count of 0 is a flexible array
 * member. Bit fields have no entry. Where x86-64 and arm64 differ the layout is that of the running machine, and
 * {@link layoutsByArchitecture} has both.
 *
 * Generated from the UAPI headers; a test compares sizes and offsets with the C compiler's.
 *
 * @example
 * ```ts
 * import { alloc } from '@pkg/sys/struct'
 * import { ifinfomsg } from '@pkg/sys/structs'
 * const message = alloc(ifinfomsg)
 * message.set('ifi_index', 1)
 * message.bytes.length // 16
 * ```
 * @see https://github.com/torvalds/linux/tree/master/include/uapi
 * @module
 */

export * from './generated/structs.ts'
