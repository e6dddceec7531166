/** The bits of a mode that say what type a file has. */

/** All of them (S_IFMT in linux/stat.h). */
export const typeMask = 0o170000

/** Type bits by this package's names (S_IFIFO and so on in linux/stat.h). */
export const typeBits = {
  fifo: 0o010000,
  char: 0o020000,
  directory: 0o040000,
  block: 0o060000,
  file: 0o100000,
  symlink: 0o120000,
  socket: 0o140000,
} as const
