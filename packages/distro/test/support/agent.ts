// The real agent as a service of the real PID 1, in namespaces of their own but with this machine's network; and the
// tools by which people get at it.
import { execFileSync, spawn, type ChildProcess } from 'node:child_process'
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { asRoot, removeCgroup } from '../../../init/test/namespace/cgroup.ts'
import type { AgentSettings } from '../../src/agent/settings.ts'
import { bundle } from '../../src/build/bundle.ts'

const path = (relative: string): string => fileURLToPath(new URL(relative, import.meta.url))

/** A user of no one: the agent must need no more. */
export const agentUser = 61_999

const START_MS = 40_000

/** A running agent. */
export interface TestAgent extends AsyncDisposable {
  /** Folder for the test's own files, with the keys. */
  readonly folder: string
  /** Its host and port. */
  readonly address: string
  /** The fingerprint that it shows on the console. */
  readonly fingerprint: string
  /** Its key and certificate. */
  readonly identityFile: string
  /** All lines of the console so far. */
  readonly lines: readonly string[]
  /** Resolves with the first line, old or new, that matches. */
  waitFor(pattern: RegExp): Promise<RegExpExecArray>
}

/** Makes a key; its public half is beside it, in `.pub`. */
export function makeKey(folder: string, name: string): string {
  const file = join(folder, name)
  execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-C', name, '-f', file])
  return file
}

const publicLine = (key: string): string => readFileSync(`${key}.pub`, 'utf8').trim()

let count = 0

/**
 * Starts it, for the keys `owner`, `update` and `observe`, each with its role.
 *
 * @param changes - what of its settings is otherwise
 */
export async function startAgent(changes: Partial<AgentSettings> = {}): Promise<TestAgent> {
  const folder = mkdtempSync('/var/tmp/solo-agent-')
  // The agent's user has to get through it.
  chmodSync(folder, 0o755)
  const own = join(folder, 'agent')
  mkdirSync(own, { mode: 0o700 })
  const [chown, ...owner] = [...asRoot, 'chown', `${agentUser}:${agentUser}`, own]
  execFileSync(chown, owner)
  const settings: AgentSettings = {
    ...{ appliance: 'kiosk', hostname: 'kiosk-1', port: 0, folder: own, runFolder: own },
    ...{ updaterSocket: null, channel: null },
    keys: [
      { key: publicLine(makeKey(folder, 'owner')), role: 'admin' },
      ...(['observe', 'update'] as const).map((role) => ({ key: publicLine(makeKey(folder, role)), role })),
    ],
    controlSocket: join(folder, 'control.sock'),
    ...changes,
  }
  const program = join(folder, 'index.js')
  // As it is in an image, in one file.
  const { files } = await bundle(path('../../src/agent.ts'), 'the agent')
  writeFileSync(program, files.get('index.js') ?? '')
  const settingsFile = join(folder, 'agent.json')
  writeFileSync(settingsFile, JSON.stringify(settings))
  const agent = {
    name: 'agent',
    command: [process.execPath, program, settingsFile],
    ...{ uid: agentUser, gid: agentUser },
  }
  const plan = join(folder, 'plan.json')
  writeFileSync(plan, JSON.stringify({ version: 1, services: [agent], control: { gid: agentUser } }))
  const cgroup = `solo-agent-test-${process.pid}-${count++}`
  const child = spawnPid1(['--plan', plan, '--cgroup', cgroup, '--run', folder])
  const { lines, waitFor } = watchLines(child)
  const [, port, fingerprint = ''] = await waitFor(
    /agent: https on port (\d+), certificate SHA-256 ([0-9A-F:]{95})/,
  )
  const ended = new Promise((resolve) => child.on('close', resolve))
  return {
    ...{ folder, lines, waitFor, fingerprint },
    address: `127.0.0.1:${port}`,
    identityFile: join(own, 'identity.pem'),
    async [Symbol.asyncDispose]() {
      child.kill('SIGKILL')
      await ended
      rmSync(folder, { recursive: true, force: true })
      await removeCgroup(cgroup)
    },
  }
}

function spawnPid1(args: readonly string[]): ChildProcess {
  const namespaces = ['--pid', '--fork', '--kill-child', '--mount', '--mount-proc', '--uts', '--ipc']
  const program = path('../../../init/src/main.ts')
  const [file = '', ...rest] = [
    ...asRoot,
    ...['setpriv', '--pdeathsig', 'KILL', 'unshare', ...namespaces, process.execPath, program, ...args],
  ]
  return spawn(file, rest, { stdio: ['ignore', 'pipe', 'inherit'] })
}

function watchLines(child: ChildProcess): Pick<TestAgent, 'lines' | 'waitFor'> {
  const lines: string[] = []
  const waiting = new Set<() => void>()
  let rest = ''
  child.stdout?.setEncoding('utf8').on('data', (chunk: string) => {
    const parts = `${rest}${chunk}`.split('\n')
    rest = parts.pop() ?? ''
    lines.push(...parts)
    for (const look of waiting) look()
  })
  return {
    lines,
    async waitFor(pattern) {
      const { promise, resolve, reject } = Promise.withResolvers<RegExpExecArray>()
      const look = (): void => {
        const found = lines.map((line) => pattern.exec(line)).find((match) => match !== null)
        if (found !== undefined) resolve(found)
      }
      const timer = setTimeout(() => reject(new Error(`no line ${pattern}:\n${lines.join('\n')}`)), START_MS)
      waiting.add(look)
      look()
      return await promise.finally(() => {
        clearTimeout(timer)
        waiting.delete(look)
      })
    },
  }
}
