/**
 * Child processes that never outlive the set-up.
 *
 * Each child leads a session of its own, so Ctrl-C in a terminal reaches this process (and npm) only, and
 * the child gets the signal exactly once, from here. Without that a terminal's SIGINT, npm's forwarded
 * one and ours would arrive as three, and a program that takes a second Ctrl-C for "at once" would cut
 * its clean end short. When the child has ended, whatever is left of its process group is killed.
 */
import { spawn } from 'node:child_process'
import { constants } from 'node:os'
import { say, secondsSince, SetupError } from './report.mjs'

const forwardedSignals = ['SIGINT', 'SIGTERM', 'SIGHUP']
/** npm passes on the SIGINT that the terminal already gave us: two within this time are one. */
const sameKeyPressMs = 400
/** A guest under emulation needs up to ten seconds to power off; this is three times that. */
const endGraceMs = 30_000
const heartbeatMs = 5000
/** How long output may still come after a program's end. */
const lastOutputMs = 300
const keptLines = 30

/** The person pressed Ctrl-C, or somebody sent a signal, while the set-up ran. */
export class Interrupted extends Error {
  /** @param {'SIGINT' | 'SIGTERM' | 'SIGHUP'} signal */
  constructor(signal) {
    super(`interrupted by ${signal}`)
    this.name = 'Interrupted'
    this.exitStatus = 128 + constants.signals[signal]
  }
}

/**
 * Runs the command that the set-up was for, on this process's own standard input and outputs.
 *
 * @param {string} file
 * @param {string[]} parameters
 * @param {{ cwd: string, env: NodeJS.ProcessEnv }} options
 * @returns {Promise<number>} its exit status; 128 + the signal's number when a signal ended it
 */
export async function runProgram(file, parameters, options) {
  stopWhenInterrupted()
  const child = spawn(file, parameters, { ...options, stdio: 'inherit', detached: true })
  const { code, signal } = await supervise(child, { group: true, graceMs: endGraceMs })
  return code ?? 128 + constants.signals[signal]
}

/**
 * Runs one step of the set-up. Its output is kept, not shown; a line every five seconds tells how far it is.
 *
 * @param {string} title - for progress and errors: `apt-get install`
 * @param {string[]} command - program and arguments
 * @param {{ cwd?: string, env?: NodeJS.ProcessEnv, gentle?: boolean, keepTerminal?: boolean, attempt?: boolean }} options
 *   `gentle`: on a signal, let it come to its own end however long that takes (dpkg must not be cut);
 *   `keepTerminal`: no session of its own (sudo asks for a password on the terminal);
 *   `attempt`: report a failure by `ok: false` instead of throwing
 * @returns {Promise<{ ok: boolean, output: string }>}
 */
export async function runStep(title, command, options = {}) {
  stopWhenInterrupted()
  const startedMs = performance.now()
  const lines = []
  const [file, ...parameters] = command
  const child = spawn(file, parameters, {
    cwd: options.cwd,
    env: options.env ?? process.env,
    stdio: [options.keepTerminal ? 'inherit' : 'ignore', 'pipe', 'pipe'],
    detached: !options.keepTerminal,
  })
  for (const stream of [child.stdout, child.stderr]) collectLines(stream, lines)
  const heartbeat = setInterval(() => {
    const last = lines.at(-1)
    say(`  ${title}, ${secondsSince(startedMs)}${last === undefined ? '' : `: ${last.slice(0, 90)}`}`)
  }, heartbeatMs)
  try {
    const outcome = await supervise(child, {
      group: !options.keepTerminal && !options.gentle,
      graceMs: options.gentle ? undefined : endGraceMs,
    })
    stopWhenInterrupted()
    const output = lines.join('\n')
    if (outcome.code === 0) return { ok: true, output }
    if (options.attempt) return { ok: false, output }
    throw new SetupError(
      `${title} failed (${outcome.signal ?? `exit status ${outcome.code}`}). Its last lines:`,
      lines.slice(-keptLines),
    )
  } finally {
    clearInterval(heartbeat)
  }
}

/** The signal that came, if one did; the set-up stops before its next step. */
let interruptedBy
/** Gets the signals while a child runs. */
let onChildSignal = () => {}

/** Takes over the signals that ask this process to end, so that no step is cut between two files. */
export function watchSignals() {
  let lastSignalMs = -Infinity
  for (const signal of forwardedSignals) {
    process.on(signal, () => {
      const nowMs = performance.now()
      if (nowMs - lastSignalMs < sameKeyPressMs) return
      lastSignalMs = nowMs
      interruptedBy ??= signal
      onChildSignal(signal)
    })
  }
}

/** Throws {@link Interrupted} when a signal came. */
function stopWhenInterrupted() {
  if (interruptedBy !== undefined) throw new Interrupted(interruptedBy)
}

/**
 * Waits for a child, hands it the signals this process gets, and clears away what is left of its group.
 *
 * @param {import('node:child_process').ChildProcess} child
 * @param {{ group: boolean, graceMs: number | undefined }} options
 * @returns {Promise<{ code: number | null, signal: string | null }>}
 */
function supervise(child, options) {
  return new Promise((resolve, reject) => {
    let graceTimer
    const send = (signal) => sendSignal(options.group ? -child.pid : child.pid, signal)
    const settle = () => {
      clearTimeout(graceTimer)
      onChildSignal = () => {}
    }
    onChildSignal = (signal) => {
      send(signal)
      if (options.graceMs === undefined) say('waiting until it has finished what it is writing …')
      else graceTimer ??= setTimeout(() => send('SIGKILL'), options.graceMs)
    }
    child.once('error', (error) => {
      settle()
      reject(new SetupError(`${child.spawnfile} could not be started: ${error.message}`))
    })
    child.once('exit', (code, signal) => {
      if (options.group) send('SIGKILL')
      settle()
      // 'close' comes when all output is read; but a daemon that holds our pipe open must not hold us.
      const finish = () => resolve({ code, signal })
      const closeTimer = setTimeout(finish, lastOutputMs)
      child.once('close', () => {
        clearTimeout(closeTimer)
        finish()
      })
    })
  })
}

/**
 * @param {number} target - a process, or minus a process group
 * @param {NodeJS.Signals} signal
 */
function sendSignal(target, signal) {
  try {
    process.kill(target, signal)
  } catch (error) {
    // ESRCH: it has ended. EPERM: sudo's child belongs to root, and sudo got the terminal's own signal.
    if (error.code !== 'ESRCH' && error.code !== 'EPERM') throw error
  }
}

/**
 * @param {import('node:stream').Readable} stream
 * @param {string[]} lines - the last ones are kept
 */
function collectLines(stream, lines) {
  let rest = ''
  stream.setEncoding('utf8')
  stream.on('data', (text) => {
    const parts = (rest + text).split(/\r?\n|\r/)
    rest = parts.pop() ?? ''
    for (const part of parts) if (part.trim() !== '') lines.push(part.trimEnd())
    if (lines.length > 2000) lines.splice(0, lines.length - 1000)
  })
  stream.on('end', () => {
    if (rest.trim() !== '') lines.push(rest.trimEnd())
  })
}
