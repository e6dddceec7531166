// Where a program of the host is.
import { accessSync, constants } from 'node:fs'
import { delimiter, join } from 'node:path'

/** Where `program` is: itself if it is a path, else the first of PATH that may be executed. */
export function findProgram(program: string): string | undefined {
  const folders = program.includes('/') ? [''] : (process.env['PATH'] ?? '').split(delimiter)
  return folders.map((folder) => (folder === '' ? program : join(folder, program))).find(isExecutable)
}

function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK)
    return true
  } catch {
    return false
  }
}
