// The one place where the command writes about itself: on standard error, for standard output is the program's.

/** How the command's lines begin, as those of any program: who speaks. */
const NAME = 'solo vm'

/** Writes `text`, which begins with who speaks; several lines are indented after the first. */
export function tell(text: string): void {
  write(`${NAME}: ${text.replaceAll('\n', '\n  ')}\n`)
}

/** Writes what the guest's console shows. */
export function tellConsole(text: string): void {
  write(text)
}

function write(text: string): void {
  // A raw terminal does not return to the line's begin by itself; for one that is not raw it does no harm.
  process.stderr.write(process.stderr.isTTY ? text.replaceAll(/\r?\n/g, '\r\n') : text)
}

/** What a user can act upon; a stack only where `verbose` asks for it. */
export function errorText(error: unknown, verbose: boolean): string {
  if (!(error instanceof Error)) return String(error)
  return verbose && error.stack !== undefined ? error.stack : error.message
}

/** How long a start is silent: a restored machine, and a first look at what there is, are faster. */
const PATIENCE_MS = 1500

/**
 * Says what is going on, if it takes long, and how long it took; the result is to be called at its end. In a file or
 * pipe it would stand among what the program says, on some days and not on others: there only `verbose` asks for it.
 */
export function announce(step: string, verbose: boolean): () => void {
  if (!verbose && !process.stderr.isTTY) return () => {}
  const startMs = performance.now()
  let told = false
  const timer = setTimeout(() => {
    told = true
    tell(`${step} …`)
  }, PATIENCE_MS)
  return () => {
    clearTimeout(timer)
    if (told) tell(`${step}: ${((performance.now() - startMs) / 1000).toFixed(1)} s`)
  }
}
