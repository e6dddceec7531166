// A hang that no program of the guest can make: every processor stands still with its interrupts off, as after a fault
// of the hardware or of the kernel's locking. Only a watchdog gets it out. By the protocol of GDB's stub in QEMU.
import { connect, type Socket } from 'node:net'

/** Numbers of registers in `target.xml` of x86-64. */
const RIP = 0x10
const EFLAGS = 0x11

/** Bit 1 is always set; without bit 9 no interrupt is taken. */
const NO_INTERRUPTS = '02000000'

/** `jmp` to itself. */
const FOREVER = 'ebfe'

/** That the processors have stopped is told to who asks, and once more by itself when they have. */
const stopReply = /^T[\da-f]{2}/

/** How long an answer may take. */
const ANSWER_MS = 20_000

/** Hangs a guest that was started with `gdb`. */
export async function hang(port: number): Promise<void> {
  using stub = await Stub.connect(port)
  // The first question has stopped all processors.
  await stub.ask('?')
  // QEMU's stub knows single registers for those only who have asked which there are.
  await stub.ask('qXfer:features:read:target.xml:0,ffb')
  const threads = (await stub.ask('qfThreadInfo')).replace(/^m/, '').split(',')
  for (const thread of threads) {
    await stub.ask(`Hg${thread}`)
    const rip = littleEndian(await stub.ask(`p${RIP.toString(16)}`))
    await stub.ask(`M${rip.toString(16)},2:${FOREVER}`)
    await stub.ask(`P${EFLAGS.toString(16)}=${NO_INTERRUPTS}`)
  }
  // It goes on, if that is the word.
  await stub.ask('D')
}

function littleEndian(hex: string): bigint {
  return Buffer.from(hex, 'hex').readBigUInt64LE()
}

/** @see https://sourceware.org/gdb/current/onlinedocs/gdb.html/Remote-Protocol.html */
class Stub implements Disposable {
  readonly #socket: Socket
  #text = ''
  #onNews = (): void => {}

  private constructor(socket: Socket) {
    this.#socket = socket
    socket.setEncoding('latin1')
    socket.on('data', (chunk: string) => {
      this.#text += chunk
      this.#onNews()
    })
    socket.on('error', () => {})
  }

  static async connect(port: number): Promise<Stub> {
    const socket = connect(port, '127.0.0.1')
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    socket.once('connect', resolve)
    socket.once('error', reject)
    await promise
    return new Stub(socket)
  }

  /** Sends a packet, and gives the answer's. */
  async ask(words: string): Promise<string> {
    this.#text = ''
    const sum = Buffer.from(words, 'latin1').reduce((total, byte) => total + byte, 0) & 0xff
    this.#socket.write(`$${words}#${sum.toString(16).padStart(2, '0')}`)
    const untilMs = performance.now() + ANSWER_MS
    for (;;) {
      const answers = [...this.#text.matchAll(/\$([^#]*)#../g)].map(([, answer = '']) => answer)
      const answer = answers.find((each) => words === '?' || !stopReply.test(each))
      if (answer !== undefined) {
        this.#socket.write('+')
        if (/^E../.test(answer)) throw new Error(`GDB's stub: ${words}: ${answer}`)
        return answer
      }
      if (performance.now() > untilMs) throw new Error(`GDB's stub: no answer to ${words}`)
      const { promise, resolve } = Promise.withResolvers<void>()
      const timer = setTimeout(resolve, 1000)
      this.#onNews = resolve
      await promise
      clearTimeout(timer)
    }
  }

  [Symbol.dispose](): void {
    this.#socket.destroy()
  }
}
