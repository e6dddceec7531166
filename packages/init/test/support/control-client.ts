import { connect, type Socket } from 'node:net'
import { join } from 'node:path'
import type { ControlAnswer, MachineStatus } from '@pkg/init/control'
import { expect } from 'vitest'

/** A connection to PID 1. */
export class Client implements Disposable {
  readonly socket: Socket
  readonly answers: ControlAnswer[] = []
  closed: boolean = false
  #rest = ''

  constructor(run: string) {
    this.socket = connect(join(run, 'control.sock'))
    this.socket.setEncoding('utf8').on('data', (chunk: string) => {
      const lines = `${this.#rest}${chunk}`.split('\n')
      this.#rest = lines.pop() ?? ''
      this.answers.push(...lines.map((line) => JSON.parse(line) as ControlAnswer))
    })
    this.socket.on('close', () => (this.closed = true)).on('error', () => (this.closed = true))
  }

  /** Sends a request and gives back the next answer. */
  async ask(request: object | string): Promise<ControlAnswer> {
    const before = this.answers.length
    this.socket.write(typeof request === 'string' ? request : `${JSON.stringify(request)}\n`)
    await expect.poll(() => this.answers.length).toBeGreaterThan(before)
    return this.answers[before] as ControlAnswer
  }

  async status(): Promise<MachineStatus> {
    const answer = await this.ask({ type: 'status' })
    if (!answer.ok || answer.status === undefined) throw new Error(JSON.stringify(answer))
    return answer.status
  }

  [Symbol.dispose](): void {
    this.socket.destroy()
  }
}
