import { once } from 'node:events'
import { chmod, lstat, mkdir, mkdtemp, readFile, readlink, rm, symlink, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { AgentClient, GuestCallTimeoutError, GuestCommandError } from '../../src/agent.ts'
import { GuestEndedError } from '../../src/errors.ts'
import { stateOf } from '../../src/process-machine/process-tree.ts'
import { type HostAgent, startAgent } from './host-agent.ts'

let agent: HostAgent
let client: AgentClient
let folder: string

beforeAll(async () => {
  agent = await startAgent({ noise: Uint8Array.from([1, 9, 0, 200, 3, 3]) })
  ;({ client } = agent)
  folder = await mkdtemp(join(tmpdir(), 'solo-agent-'))
})

afterAll(async () => {
  await agent[Symbol.asyncDispose]()
  await rm(folder, { recursive: true })
})

test('hello() finds the agent behind noise on the line', async () => {
  expect(await client.hello({ timeoutMs: 1 })).toMatchObject({ pid: agent.process.pid, bootProblems: [] })
})

test('exec() gives output, takes input, and throws with the words of what failed', async () => {
  const result = await client.exec('sh', ['-c', 'cat; echo no >&2'], { input: 'in' })
  expect(result).toEqual({ code: 0, signal: null, stdout: 'in', stderr: 'no\n' })
  const failed = client.exec('sh', ['-c', 'echo why >&2; exit 3'])
  await expect(failed).rejects.toThrow(GuestCommandError)
  await expect(failed).rejects.toThrow(/exit status 3\nwhy/)
  expect(await client.exec('sh', ['-c', 'kill -9 $$'], { check: false })).toMatchObject({
    code: null,
    signal: 'SIGKILL',
  })
})

test('spawn() reports ENOENT for a program that is not there', async () => {
  await expect(client.spawn('no-such-program')).rejects.toMatchObject({ code: 'ENOENT' })
})

test('exec() kills what takes too long', async () => {
  await expect(client.exec('sleep', ['100'], { timeoutMs: 50 })).rejects.toThrow(GuestCallTimeoutError)
})

test('kill() reaches the children of a program too, where that is asked for', async () => {
  const child = await client.spawn('sh', ['-c', 'sleep 1000 & echo $!; wait'])
  const grandchild = Number(String((await once(child.stdout, 'data'))[0]))
  expect(stateOf(grandchild)).toMatch(/[RS]/)
  await child.kill('SIGKILL', { group: true })
  expect(await child.exited).toEqual({ code: null, signal: 'SIGKILL' })
  // A host's init may be slow to reap it.
  await expect.poll(() => [undefined, 'Z'].includes(stateOf(grandchild))).toBe(true)
  await child.kill('SIGKILL', { group: true })
})

test('kill() sends the signal that is named', async () => {
  const child = await client.spawn('sleep', ['100'])
  await child.kill('SIGINT')
  expect(await child.exited).toEqual({ code: null, signal: 'SIGINT' })
  await child.kill('SIGINT')
})

test('streams carry 100 MB both ways while another one is not read', { timeout: 240_000 }, async () => {
  const stalled = await client.spawn('cat', ['/dev/zero'])
  const cat = await client.spawn('cat')
  const chunk = new Uint8Array(1 << 20).fill(0xa5)
  const sending = (async () => {
    for (let count = 0; count < 100; count++)
      if (!cat.stdin.write(chunk)) await new Promise((resolve) => cat.stdin.once('drain', resolve))
    cat.stdin.end()
  })()
  let received = 0
  for await (const part of cat.stdout) received += (part as Uint8Array).length
  await sending
  expect(received).toBe(100 << 20)
  await stalled.kill('SIGKILL')
  expect(await stalled.exited).toEqual({ code: null, signal: 'SIGKILL' })
})

test('spawn() with ipc gives a stream to descriptor 3, whose end is told both ways', async () => {
  const child = await client.spawn('sh', ['-c', 'read line <&3; echo "got $line" >&3'], { ipc: true })
  child.ipc?.write('word\n')
  let text = ''
  for await (const part of child.ipc ?? []) text += String(part)
  expect(text).toBe('got word\n')
  expect(await child.exited).toEqual({ code: 0, signal: null })
})

test.each(['a Unix socket', 'a TCP port'])(
  'connect() reaches %s, and ends are told both ways',
  async (kind) => {
    const path = join(folder, 'listener.sock')
    const where = kind === 'a TCP port' ? 0 : path
    // Answers when its client has ended: a stream whose ends were one could not hear it.
    const server = createServer({ allowHalfOpen: true }, (socket) => {
      let count = 0
      socket.on('data', (part) => (count += part.length))
      socket.on('end', () => socket.end(`${count} bytes`))
    }).listen(where)
    await once(server, 'listening')
    try {
      const address = server.address()
      const stream = await client.connect(
        typeof address === 'object' && address !== null ? { port: address.port } : path,
      )
      stream.end('x'.repeat(1 << 20))
      let answer = ''
      for await (const part of stream) answer += String(part)
      expect(answer).toBe('1048576 bytes')
    } finally {
      server.close()
    }
  },
)

test('connect() says when nobody listens', async () => {
  await expect(client.connect(join(folder, 'nobody.sock'))).rejects.toMatchObject({ code: 'ENOENT' })
  await expect(client.connect({ port: 1 })).rejects.toMatchObject({ code: 'ECONNREFUSED' })
})

test('spawn() with tty gives a controlling terminal of the asked size', async () => {
  const child = await client.spawn('sh', ['-c', 'tty; stty size; read x; stty size </dev/tty'], {
    tty: { columns: 91, rows: 33 },
  })
  let text = ''
  child.stdout.on('data', (bytes: Uint8Array) => (text += String(Buffer.from(bytes))))
  await expect.poll(() => text).toContain('33 91')
  await child.resize(100, 40)
  child.stdin.write('\n')
  expect(await child.exited).toEqual({ code: 0, signal: null })
  await expect.poll(() => text).toMatch(/\/dev\/pts\/\d+[^]*40 100/)
})

test('files and folders keep content, modes and links', async () => {
  const source = join(folder, 'source')
  await mkdir(join(source, 'inner'), { recursive: true })
  await writeFile(join(source, 'inner/tool'), 'x'.repeat(200_000))
  await chmod(join(source, 'inner/tool'), 0o751)
  await chmod(join(source, 'inner'), 0o750)
  await symlink('inner/tool', join(source, 'link'))
  await client.copyIn(source, join(folder, 'guest'))
  await client.copyOut(join(folder, 'guest'), join(folder, 'back'))
  expect(await readFile(join(folder, 'back/inner/tool'), 'utf8')).toBe('x'.repeat(200_000))
  expect((await lstat(join(folder, 'back/inner/tool'))).mode & 0o777).toBe(0o751)
  expect((await lstat(join(folder, 'back/inner'))).mode & 0o777).toBe(0o750)
  expect(await readlink(join(folder, 'back/link'))).toBe('inner/tool')
})

test('readFile(), writeFile(), remove() say what Node says', async () => {
  const path = join(folder, 'file')
  await client.writeFile(path, 'text', { mode: 0o600 })
  expect(await client.readText(path)).toBe('text')
  expect((await lstat(path)).mode & 0o777).toBe(0o600)
  await client.remove(path)
  await client.remove(path)
  await expect(client.readFile(path)).rejects.toMatchObject({ code: 'ENOENT' })
  await expect(client.writeFile('/proc/none/x', 'a')).rejects.toMatchObject({ code: 'ENOENT' })
  expect(await client.readText('/proc/version')).toContain('Linux')
})

test('run() carries values of every kind there and back', async () => {
  const values = [
    undefined,
    Number.NaN,
    -0,
    5n,
    new Date(3),
    new Map([['a', new Set([1])]]),
    /x/g,
    Uint8Array.of(1),
  ]
  const back = await client.run((...given: unknown[]) => given, ...values)
  expect(back).toEqual(values)
})

test('run() imports node: modules and @pkg/sys, in the runner and in the agent', async () => {
  const look = async (): Promise<[number, string, boolean]> => {
    const { getpid } = await import('@pkg/sys/process')
    const { existsSync } = await import('node:fs')
    return [getpid(), typeof (await import('@pkg/sys/mount')).mount, existsSync('/proc/self')]
  }
  const [runner, mount, exists] = await client.run(look)
  expect([mount, exists]).toEqual(['function', true])
  expect(runner).not.toBe(agent.process.pid)
  expect((await client.runWith({ pid1: true }, look))[0]).toBe(agent.process.pid)
})

test('run() gives exceptions as they were, at their place in this file', async () => {
  const error = await client
    .run((text: string) => {
      throw new TypeError(text, { cause: new RangeError('low') }) // the line that throws
    }, 'high')
    .catch((reason: unknown) => reason as TypeError)
  expect(error).toBeInstanceOf(TypeError)
  expect(error.cause).toBeInstanceOf(RangeError)
  const place = /agent\.test\.ts:(\d+):/.exec(error.stack ?? '')
  const lines = (await readFile(new URL(import.meta.url), 'utf8')).split('\n')
  expect(lines[Number(place?.[1]) - 1]).toContain('// the line that throws')
})

test('run() says what to do about a name of the outer module', async () => {
  const outer = 5
  await expect(client.run(() => outer + 1)).rejects.toThrow('uses `outer` of the outer module')
  await expect(client.run(() => tmpdir())).rejects.toThrow('uses `tmpdir` of the outer module')
})

test('run() says how the runner died, and the next function finds a new one', async () => {
  const crash = client.run(async () => {
    const { syscall } = await import('@pkg/sys/raw')
    syscall('kill', process.pid, 11)
    await new Promise(() => {})
  })
  await expect(crash).rejects.toThrow(/ran the function was ended by SIG/)
  expect(await client.run(() => 6)).toBe(6)
})

test('run() survives a read of address 0', async () => {
  const crash = client.run(async () => {
    const { read } = await import('bun:ffi')
    return read.u8(8, 0)
  })
  await expect(crash).rejects.toThrow(/ran the function was ended by SIG|ran the function exited/)
  expect(await client.run(() => 7)).toBe(7)
})

test('runWith() ends a function that hangs', async () => {
  const hang = client.runWith({ timeoutMs: 100 }, () => {
    for (;;);
  })
  await expect(hang).rejects.toThrow(GuestCallTimeoutError)
  const abort = new AbortController()
  const aborted = client.runWith({ signal: abort.signal }, () => new Promise(() => {}))
  abort.abort(new Error('enough'))
  await expect(aborted).rejects.toThrow('enough')
  expect(await client.run(() => 8)).toBe(8)
})

test('waitUntil() gives the first truthy value, or fails in time', async () => {
  const path = join(folder, 'awaited')
  const found = client.waitUntil(
    async (name: string) => {
      const { existsSync } = await import('node:fs')
      return existsSync(name) && name
    },
    { args: [path], timeoutMs: 30_000, intervalMs: 5 },
  )
  await client.writeFile(path, '')
  expect(await found).toBe(path)
  await expect(client.waitUntil(() => false, { timeoutMs: 30 })).rejects.toThrow(GuestCallTimeoutError)
})

test('attach() takes the agent over from a host that went away', async () => {
  await using other = await startAgent()
  const left = other.client.run(() => new Promise(() => {}))
  left.catch(() => {})
  const successor = new AgentClient({ console: other.console })
  other.control.removeAllListeners('data')
  successor.attach(other.control)
  await successor.hello({ timeoutMs: 30_000 })
  expect((await successor.exec('echo', ['a'])).stdout).toBe('a\n')
})

test('shutdown() says the end mark; end() fails everything that waits', async () => {
  await using other = await startAgent()
  const waiting = other.client.exec('sleep', ['100'])
  const failed = expect(waiting).rejects.toThrow('it is gone')
  expect(other.client.ended).toBe(false)
  await other.client.shutdown('poweroff')
  expect(other.client.ended).toBe(true)
  other.client.end(new GuestEndedError('it is gone'))
  await failed
  await expect(other.client.info()).rejects.toThrow('it is gone')
})

test('exec() with root runs a program below another root', async () => {
  const root = join(folder, 'root')
  await client.mkdir(join(root, 'bin'))
  await client.copyIn('/bin/busybox', join(root, 'bin/busybox'))
  await symlink('busybox', join(root, 'bin/sh'))
  const place = { root, cwd: '/bin', uid: 1234, gid: 1235, env: { PATH: '/bin' } }
  const script = 'pwd; busybox id -u; busybox id -g; busybox ls /'
  expect((await client.exec('sh', ['-c', script], place)).stdout).toBe('/bin\n1234\n1235\nbin\n')
  await expect(client.exec('/none', [], place)).rejects.toThrow('cannot execute /none')
})

test('run() gives exceptions that cannot be changed, and those with a stack that is none', async () => {
  const frozen = client.run(() => {
    throw Object.freeze(new RangeError('the real reason'))
  })
  await expect(frozen).rejects.toMatchObject({ name: 'RangeError', message: 'the real reason' })
  const odd = client.run(() => {
    throw Object.assign(new Error('the real reason'), { stack: 5 })
  })
  await expect(odd).rejects.toThrow('the real reason')
})

test('run() leaves `import` in strings alone', async () => {
  expect(await client.run(() => "await import('x')")).toBe("await import('x')")
})

test('waitUntil() keeps its time, though the function waits for what never comes', async () => {
  const failed = client.waitUntil(() => new Promise(() => {}), { timeoutMs: 100 })
  await expect(failed).rejects.toThrow(/waitUntil\(.*took longer than 100 ms/)
})

test('exec() that takes too long ends what the program left in its group', async () => {
  const path = join(folder, 'left')
  const failed = client.exec('sh', ['-c', `sleep 1000 & echo $! > ${path}`], { timeoutMs: 500 })
  await expect(failed).rejects.toThrow(GuestCallTimeoutError)
  const left = Number(await readFile(path, 'utf8'))
  await expect.poll(() => [undefined, 'Z'].includes(stateOf(left))).toBe(true)
})

test('exec() names signals as the manual does', async () => {
  const end = (words: string) => client.exec('sh', ['-c', words], { check: false })
  expect(await end('kill -ABRT $$')).toMatchObject({ signal: 'SIGABRT' })
  expect(await end('kill -40 $$')).toMatchObject({ signal: 'SIG40' })
})

test('times that setTimeout cannot keep are refused before anything starts', async () => {
  await expect(client.exec('no-such-program', [], { timeoutMs: 3e9 })).rejects.toThrow(RangeError)
  await expect(client.exec('no-such-program', [], { timeoutMs: NaN })).rejects.toThrow(RangeError)
  await expect(client.runWith({ timeoutMs: '5' as never }, () => 1)).rejects.toThrow(TypeError)
  await expect(client.waitUntil(() => true, { timeoutMs: 2 ** 31 })).rejects.toThrow(RangeError)
})
