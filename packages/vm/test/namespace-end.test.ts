// How a guest of namespaces ends, who may start one, and what is left of it: nothing.
import { spawn } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Duplex } from 'node:stream'
import { afterAll, describe, expect, test, vi } from 'vitest'
import { GuestEndedError, GuestPanicError, GuestTimeoutError } from '../src/errors.ts'
import { InitFailedError, type NamespaceMachine, type NamespaceOptions } from '../src/namespace.ts'
import { childrenOf, descendantsOf, stateOf } from '../src/process-machine/process-tree.ts'
import { busyboxRoot } from './namespace-root.ts'
import { startShell, STAYS } from './namespace-shell.ts'
import { testFolder } from './support/folder.ts'

const root = busyboxRoot()
afterAll(() => root[Symbol.dispose]())

const shell = (script: string, options?: Partial<NamespaceOptions>): Promise<NamespaceMachine> =>
  startShell(root.folder, script, options)

describe('how a guest ends', () => {
  test('a power-off and an exit with 0 are a power-off', async () => {
    await using off = await shell('busybox poweroff -f; busybox sleep 9')
    expect(await off.waitForPoweroff()).toMatchObject({ reason: 'poweroff', init: { code: null, signal: 2 } })
    await using done = await shell('exit 0')
    expect(await done.waitForPoweroff()).toMatchObject({
      reason: 'poweroff',
      init: { code: 0, signal: null },
    })
  })

  test("what has ended gets no signal any more: its process id may be somebody else's", async () => {
    await using guest = await shell('exit 0')
    await guest.exited
    using kill = vi.spyOn(process, 'kill')
    await guest.kill()
    await guest.powerdown()
    await guest[Symbol.asyncDispose]()
    expect(kill).not.toHaveBeenCalled()
  })

  test('another exit status is what would be a panic, and told', async () => {
    await using guest = await shell('echo last words; exit 3')
    const { reason, init, error } = await guest.exited
    expect({ reason, init }).toEqual({ reason: 'panic', init: { code: 3, signal: null } })
    expect(error).toBeInstanceOf(InitFailedError)
    expect(error).toBeInstanceOf(GuestPanicError)
    expect(error?.message).toBe(
      "the guest's PID 1 ended with exit status 3\nThe console's last lines:\n  last words",
    )
  })

  test('a program that prints what a kernel would print of its panic has only printed', async () => {
    const words = '[    1.2] Kernel panic - not syncing: not really'
    await using guest = await shell(`echo "${words}"; busybox sleep 3; echo bye; exit 0`)
    expect((await guest.waitForPoweroff()).reason).toBe('poweroff')
    expect(guest.console.text).toContain(`${words}\nbye\n`)
  })

  test('a reboot ends it, or starts it anew with a control stream of its own', async () => {
    await using once = await shell('busybox reboot -f; busybox sleep 9')
    expect(await once.exited).toMatchObject({ reason: 'reboot' })
    using shared = testFolder()
    const controls: Duplex[] = []
    const script = 'echo life >>/s/lives; [ $(busybox wc -l </s/lives) = 3 ] || busybox reboot -f; echo third'
    await using guest = await shell(script, {
      onReboot: 'restart',
      onControl: (control) => controls.push(control),
      shares: [{ host: shared.path, guest: '/s', writable: true }],
    })
    await guest.waitForPoweroff()
    expect(guest.console.text).toBe('third\n')
    expect(new Set(controls).size).toBe(3)
  })

  test('reset() starts it anew, whatever it was doing', async () => {
    await using guest = await shell(`echo x >/made-before; ${STAYS}`)
    await guest.console.waitFor(/up/)
    const { pid } = guest
    await guest.reset()
    expect(guest.pid).not.toBe(pid)
    await guest.console.waitFor(/up\nup/)
    expect(stateOf(pid)).toBeUndefined()
  })

  test('kill() leaves none of its processes', async () => {
    await using guest = await shell(`(busybox sleep 100 &) ; busybox setsid busybox sleep 100 & ${STAYS}`)
    await guest.console.waitFor(/up/)
    const processes = descendantsOf(guest.pid)
    expect(processes.length).toBeGreaterThan(2)
    expect(await guest.kill()).toMatchObject({ reason: 'killed', init: { signal: 9 } })
    expect(processes.map((pid) => stateOf(pid)).filter((state) => state !== undefined)).toEqual([])
  })

  test('somebody who kills unshare kills the guest', async () => {
    await using guest = await shell(STAYS)
    const [init] = childrenOf(guest.pid)
    process.kill(guest.pid, 'SIGKILL')
    expect(await guest.exited).toMatchObject({ reason: 'killed' })
    // A slow init of the host may not have reaped it yet.
    expect([undefined, 'Z']).toContain(stateOf(init ?? 0))
  })

  test('powerdown() is a signal that PID 1 may follow', async () => {
    await using guest = await shell(`trap 'echo bye; exit 0' PWR; ${STAYS}`)
    await guest.console.waitFor(/up/)
    await guest.powerdown()
    await guest.waitForPoweroff()
    expect(guest.console.text).toMatch(/bye\n$/)
  })

  test('a guest that hangs is told by the limit, with the state of its PID 1', async () => {
    await using guest = await shell('exec busybox sleep 1000', { timeoutMs: 2_000 })
    const error = await guest.waitForPoweroff().catch((reason: unknown) => reason)
    expect(error).toBeInstanceOf(GuestTimeoutError)
    expect(String(error)).toContain(
      'within 2 s; it has printed nothing at all (PID 1 sleeps; 0 processes below it)',
    )
  })

  test('a silent guest is told by the silence limit, but not while it is paused', async () => {
    await using guest = await shell('while :; do echo tick; busybox sleep 0.05; done', {
      silenceTimeoutMs: 2_000,
    })
    await guest.console.waitFor(/tick/)
    await guest.pause()
    const { position } = guest.console
    await new Promise((resolve) => setTimeout(resolve, 3_000))
    // What was in the terminal when it was stopped may still come; of what it would have said since, 300 characters.
    expect(guest.console.position - position).toBeLessThan(150)
    await guest.resume()
    await guest.console.waitFor(/tick/, { from: guest.console.position })
    await guest.kill()
    await using silent = await shell('echo once; busybox sleep 100', { silenceTimeoutMs: 300 })
    expect((await silent.exited).error).toMatchObject({ kind: 'silence' })
  })

  test('disposal throws for a failure that nobody has looked at', async () => {
    const guest = await shell('exit 1')
    await expect.poll(() => stateOf(guest.pid)).toBeUndefined()
    await new Promise((resolve) => setTimeout(resolve, 100))
    await expect(guest[Symbol.asyncDispose]()).rejects.toThrow(InitFailedError)
  })

  test('an aborted signal kills it', async () => {
    const controller = new AbortController()
    await using guest = await shell(STAYS, { signal: controller.signal })
    controller.abort()
    expect(await guest.exited).toMatchObject({ reason: 'killed' })
    await expect(guest.console.waitFor(/never/)).rejects.toThrow(GuestEndedError)
    await expect(shell(STAYS, { signal: AbortSignal.abort(new Error('no')) })).rejects.toThrow('no')
  })
})

/** Runs `namespace-guest.ts`, as nobody where we are root, and gives its lines. */
function elsewhere(folder: string, script: string): { lines: AsyncIterator<string>; kill: () => void } {
  const program = [process.execPath, join(import.meta.dirname, 'namespace-guest.ts'), folder, script]
  const nobody = ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups', ...program]
  const [file = '', ...args] = process.getuid?.() === 0 ? nobody : program
  const child = spawn(file, args, {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, HOME: '/tmp' },
  })
  return { lines: linesOf(child.stdout), kill: () => void child.kill('SIGKILL') }
}

async function* linesOf(stream: AsyncIterable<Uint8Array>): AsyncGenerator<string, undefined> {
  let text = ''
  for await (const bytes of stream) {
    const parts = (text + new TextDecoder().decode(bytes)).split('\n')
    text = parts.pop() ?? ''
    yield* parts
  }
  return undefined
}

describe('without privileges', () => {
  test('a guest is root, has a root that it can write to, and ends as with them', async () => {
    using mine = busyboxRoot(65_534)
    const { lines } = elsewhere(
      mine.folder,
      'busybox id -u; echo x >/bin/x && echo written; echo 1 >/proc/sys/kernel/panic; exit 5',
    )
    const next = async (): Promise<unknown> => JSON.parse((await lines.next()).value ?? 'null')
    expect(await next()).toEqual({ works: true, reason: '' })
    expect(await next()).toHaveProperty('pid')
    const end = (await next()) as { reason: string; init: unknown; console: string }
    expect(end).toMatchObject({ reason: 'panic', init: { code: 5, signal: null } })
    expect(end.console).toMatch(/^0\nwritten\n.*Permission denied\n$/)
  })
})

test('a guest and its helpers are gone after a SIGKILL to who started it', async () => {
  const { lines, kill } = elsewhere(root.folder, `busybox setsid busybox sleep 100 & ${STAYS}`)
  await lines.next()
  const { pid } = JSON.parse((await lines.next()).value ?? '{}') as { pid: number }
  await expect.poll(() => descendantsOf(pid).length).toBeGreaterThan(2)
  const session = [pid, ...descendantsOf(pid)]
  kill()
  const alive = (): number[] => session.filter((one) => stateOf(one) !== undefined && stateOf(one) !== 'Z')
  await expect.poll(alive).toEqual([])
})

test('guests leave no process, no descriptor and no file', async () => {
  const descriptors = (): number => readdirSync('/proc/self/fd').length
  const files = (): string[] =>
    readdirSync(tmpdir()).filter(
      (name) => name.startsWith('solo-guest-') && name.includes(`-${process.pid}-`),
    )
  const cycle = async (): Promise<void> => {
    await using guest = await shell(STAYS, { onControl: () => {} })
    guest.console.write('typed')
    await expect(shell('', { program: '/nothing' })).rejects.toThrow('ENOENT')
  }
  await cycle()
  const before = descriptors()
  for (let round = 0; round < 5; round++) await cycle()
  await expect.poll(descriptors).toBeLessThanOrEqual(before)
  await expect.poll(() => childrenOf(process.pid)).toEqual([])
  expect(files()).toEqual([])
})

test('twenty guests at a time do not meet', async () => {
  const guests = await Promise.all(
    Array.from({ length: 20 }, (_, index) =>
      shell(`echo guest ${index}; busybox hostname h${index}; busybox hostname`),
    ),
  )
  await Promise.all(guests.map((guest) => guest.waitForPoweroff()))
  expect(guests.map((guest) => guest.console.text)).toEqual(
    guests.map((_, index) => `guest ${index}\nh${index}\n`),
  )
  for (const guest of guests) await guest[Symbol.asyncDispose]()
})
