/**
 * What a build writes on a disk and PID 1 looks for: the mark of a data partition that was never formatted, and the
 * names of boot entries.
 */
export { freshEntryName, parseEntryName } from './firmware/entry-name.ts'
export type { EntryName } from './firmware/entry-name.ts'
export { NEVER_FORMATTED } from './storage/ext4-head.ts'
