/** A real agent for tests, as a process on this machine: no boot, no root, no kernel of its own. */
import { type ChildProcess, spawn } from 'node:child_process'
import type { Duplex } from 'node:stream'
import { fileURLToPath } from 'node:url'
import { AgentClient } from '../../src/agent.ts'
import { GuestConsole } from '../../src/console.ts'

const main = fileURLToPath(new URL('../../src/guest/main.ts', import.meta.url))

/** Where Bun is, if the tests themselves run under Node. */
const bun = process.versions.bun === undefined ? 'bun' : process.execPath

/** An agent's process and its line. */
export interface HostAgent extends AsyncDisposable {
  /** Connected and greeted. */
  readonly client: AgentClient
  /** Its process. */
  readonly process: ChildProcess
  /** The line to it. */
  readonly control: Duplex
  /** What the agent and its runner printed. */
  readonly console: GuestConsole
}

/** Starts one. It ends with its line. */
export async function startAgent(options: { readonly noise?: Uint8Array } = {}): Promise<HostAgent> {
  const child = spawn(bun, [main, '--control=fd:3', '--no-boot'], {
    stdio: ['ignore', 'pipe', 'pipe', 'pipe'],
  })
  const control = child.stdio[3] as Duplex
  const console = new GuestConsole()
  child.stdout?.on('data', (bytes: Uint8Array) => console.append(bytes))
  child.stderr?.on('data', (bytes: Uint8Array) => console.append(bytes))
  if (options.noise) control.write(options.noise)
  const client = new AgentClient({ console })
  client.attach(control)
  await client.hello({ timeoutMs: 30_000 })
  return {
    client,
    process: child,
    control,
    console,
    async [Symbol.asyncDispose]() {
      child.kill('SIGKILL')
      if (child.exitCode === null && child.signalCode === null)
        await new Promise((resolve) => child.once('exit', resolve))
    },
  }
}
