// The agent's API by other people's tools: curl, which trusts the device's certificate and no other, and ssh-keygen.
import { execFile, execFileSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { Challenge, OpenedSession } from '../../src/agent/bodies.ts'
import type { TestAgent } from './agent.ts'

const run = promisify(execFile)

/** What curl got. */
export interface Answer {
  readonly status: number
  readonly body: string
  readonly contentType: string
}

/** A client of one agent, with a session once it has logged in. */
export class AgentClient {
  readonly #agent: TestAgent
  #certificate: Promise<string> | undefined
  #token: string | undefined

  constructor(agent: TestAgent) {
    this.#agent = agent
  }

  /** Asks; with the session, if there is one. */
  async curl(path: string, ...args: string[]): Promise<Answer> {
    const url = `https://${this.#agent.address}${path}`
    const more = ['--silent', '--show-error', '--write-out', '\n%{http_code} %{content_type}']
    const asked = run('curl', [...(await this.options()), ...more, ...args, url])
    const { stdout } = await asked.catch((error: { code: number; stdout: string }) => {
      // `--max-time` is over: what has come of a stream is the answer.
      if (error.code === 28) return error
      throw error as unknown
    })
    const at = stdout.lastIndexOf('\n')
    const [status = '', ...type] = stdout.slice(at + 1).split(' ')
    return { status: Number(status), body: stdout.slice(0, at), contentType: type.join(' ') }
  }

  /** What curl needs to trust the device, and to be somebody. */
  async options(): Promise<string[]> {
    this.#certificate ??= this.#shown()
    const token = this.#token === undefined ? [] : ['--header', `authorization: Bearer ${this.#token}`]
    return ['--cacert', await this.#certificate, ...token]
  }

  /** Logs in by hand, as the API's description says; `key` is one of the agent's folder. */
  async login(key: string = 'owner'): Promise<OpenedSession> {
    const { address, folder, fingerprint } = this.#agent
    this.#token = undefined
    const { challenge } = JSON.parse((await this.curl('/v1/challenge')).body) as Challenge
    const input = `solo session\nchallenge ${challenge}\ncertificate ${fingerprint}\n`
    const signing = ['-Y', 'sign', '-q', '-n', 'solo-session', '-f', join(folder, key)]
    const signature = execFileSync('ssh-keygen', signing, { input, encoding: 'utf8' })
    const { status, body } = await this.curl(
      '/v1/session',
      '--json',
      JSON.stringify({ challenge, signature }),
    )
    if (status !== 200) throw new Error(`${address}: login: ${status} ${body}`)
    const session = JSON.parse(body) as OpenedSession
    this.#token = session.token
    return session
  }

  /** Is a stranger again. */
  forget(): void {
    this.#token = undefined
  }

  async #shown(): Promise<string> {
    const file = join(this.#agent.folder, 'shown-certificate.pem')
    const { stdout } = await run('sh', [
      '-c',
      `openssl s_client -connect ${this.#agent.address} -verify_quiet </dev/null 2>/dev/null | openssl x509`,
    ])
    writeFileSync(file, stdout)
    return file
  }
}
