/** What long work says while it runs; who shows it, and how, is the command's business. */
export interface Progress {
  /** A step begins, such as `kernel`. */
  step(name: string): void
  /** How far the step is, 0 to 100, with what is being worked on. */
  percent(detail: string, percent: number): void
  /** Something worth a line of its own. */
  note(line: string): void
  /** The step is done; `detail` says what came out. */
  done(detail: string): void
}

/** Says nothing. */
export const silent: Progress = { step() {}, percent() {}, note() {}, done() {} }
