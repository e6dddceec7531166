/**
 * An error with those that it carries: its cause, the errors of an AggregateError, and what a SuppressedError came from
 * and what it hides. Each once, the outermost first; nothing for a value that is no error.
 */
export function errorTree(error: unknown): ReadonlySet<Error> {
  const found = new Set<Error>()
  const look = (each: unknown): void => {
    if (!(each instanceof Error) || found.has(each)) return
    found.add(each)
    const { cause, error: later, suppressed, errors } = each as Partial<SuppressedError & AggregateError>
    for (const inner of [cause, later, suppressed, ...(Array.isArray(errors) ? errors : [])]) look(inner)
  }
  look(error)
  return found
}
