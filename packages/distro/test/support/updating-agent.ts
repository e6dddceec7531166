// The real agent in front of the real updater, whose slots are files: an update as a device has it, over HTTPS.
import { execFileSync } from 'node:child_process'
import { chmodSync } from 'node:fs'
import { asRoot } from '../../../init/test/namespace/cgroup.ts'
import {
  type SampleRelease,
  noise,
  sampleRelease,
  text,
} from '../../../update/test/support/sample-release.ts'
import { UpdaterMachine } from '../../../update/test/support/updater-process.ts'
import type { AgentSettings } from '../../src/agent/settings.ts'
import { agentUser, startAgent, type TestAgent } from './agent.ts'

const partitionBytes = 8 * 1024 * 1024

const runtime = text('runtime', 2_000_000)

/** A release whose root differs in a page from that of another. */
export function releaseOf(counter: number, pageBytes: number = 9000): Promise<SampleRelease> {
  const files = { '/bin/bun': runtime, '/page.js': noise(`page ${counter}`, pageBytes) }
  return sampleRelease(counter, files, noise(`uki ${counter}`, 540_096))
}

/** A machine that runs a release, with an agent. */
export class UpdatingAgent implements AsyncDisposable {
  readonly machine: UpdaterMachine
  readonly agent: TestAgent

  private constructor(machine: UpdaterMachine, agent: TestAgent) {
    this.machine = machine
    this.agent = agent
  }

  /** Starts both. `prepare` comes before the updater. */
  static async start(
    running: SampleRelease,
    {
      settings = {},
      prepare,
    }: { settings?: Partial<AgentSettings>; prepare?: (machine: UpdaterMachine) => void } = {},
  ): Promise<UpdatingAgent> {
    const machine = new UpdaterMachine(running, partitionBytes)
    try {
      prepare?.(machine)
      await machine.start()
      // The agent's user gets through the folder, and is of the group that may connect.
      chmodSync(machine.folder, 0o755)
      const [chown, ...args] = [...asRoot, 'chown', `:${agentUser}`, machine.socket]
      execFileSync(chown, args)
      return new UpdatingAgent(machine, await startAgent({ updaterSocket: machine.socket, ...settings }))
    } catch (error) {
      await machine[Symbol.asyncDispose]()
      throw error
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.agent[Symbol.asyncDispose]()
    await this.machine[Symbol.asyncDispose]()
  }
}
