// The caller's mistakes, found before any system call and named by the caller's own field.

/**
 * Refuses what the kernel could not take as a word.
 *
 * @throws TypeError for what is empty or has a NUL
 */
export function checkWord(operation: string, field: string, value: string): void {
  if (typeof value !== 'string' || value === '' || value.includes('\0')) {
    throw new TypeError(`${operation}: ${field} must be a word without NUL, not ${JSON.stringify(value)}`)
  }
}

/**
 * Relative paths are refused: mountinfo has absolute ones only, and a program's working folder may be covered.
 *
 * @throws TypeError for what is not absolute or has a NUL
 */
export function checkPath(operation: string, field: string, value: string): void {
  checkWord(operation, field, value)
  if (!value.startsWith('/')) {
    throw new TypeError(`${operation}: ${field} must be an absolute path, not ${JSON.stringify(value)}`)
  }
}
