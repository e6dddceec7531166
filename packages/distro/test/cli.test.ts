// The command as users meet it: in a process of its own, by what it writes and by its exit status.
import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import { testFolder } from './support/folder.ts'

// apt, dpkg-deb and the bundler take their time on a busy machine.

const main = fileURLToPath(new URL('../src/solo.ts', import.meta.url))

interface Ended {
  readonly status: number
  readonly stdout: string
  readonly stderr: string
}

function solo(
  args: readonly string[],
  options: { cwd?: string; env?: Record<string, string> } = {},
): Promise<Ended> {
  return new Promise((resolve) => {
    const env = { ...process.env, ...options.env }
    execFile(process.execPath, [main, ...args], { ...options, env }, (error, stdout, stderr) => {
      resolve({ status: error === null ? 0 : Number(error.code), stdout, stderr })
    })
  })
}

/** Runs `solo build` in a folder with these files. */
async function build(files: Readonly<Record<string, string>>, ...args: readonly string[]): Promise<Ended> {
  using folder = testFolder()
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(dirname(join(folder.path, name)), { recursive: true })
    writeFileSync(join(folder.path, name), text)
  }
  const ended = await solo(['build', ...args], {
    cwd: folder.path,
    env: { SOLO_CACHE_DIR: join(folder.path, 'cache') },
  })
  // A configuration that is wrong costs nothing: no download, no folder.
  expect(existsSync(join(folder.path, 'cache'))).toBe(false)
  expect(readdirSync(folder.path).toSorted()).toEqual(Object.keys(files).toSorted())
  return ended
}

describe('solo', () => {
  test('solo --help, --version and solo without a command say what there is, with status 0', async () => {
    const help = await solo(['--help'])
    expect(help).toMatchObject({ status: 0, stderr: '' })
    for (const word of ['build', 'run', 'doctor', 'Exit status', '130']) expect(help.stdout).toContain(word)
    expect((await solo(['--version'])).stdout).toMatch(/^\d+\.\d+\.\d+\n$/)
    expect((await solo(['build', '--help'])).stdout).toContain('--update-lock')
  })

  test.each([
    [['build', '--fromat', 'initramfs'], '--fromat'],
    [['build', '--format', 'iso'], 'initramfs'],
    [['build', 'a', 'b'], 'b'],
    [['run', '--forward', '99999'], '99999'],
    [['run', '--memory', 'much'], 'much'],
    [['biuld'], 'build'],
    [['vm', '--memory', 'much', '--', 'true'], 'much'],
    [['vm', '--dsik', '1G', '--', 'true'], '--dsik'],
    [['vm', '--shell', '--', 'ls'], '--shell'],
    [['vm', '--no-share', '--read-only', '--', 'ls', '--help'], '--read-only'],
  ])('solo %j is a usage error: status 2, one line, no stack trace', async (args, word) => {
    const { status, stdout, stderr } = await solo(args)
    expect(status).toBe(2)
    expect(stdout).toBe('')
    expect(stderr).toContain(word)
    expect(stderr.trim().split('\n')).toHaveLength(1)
  })
})

describe('solo vm', () => {
  test('solo vm --help says what it does; without a program that is the answer, with status 2', async () => {
    const help = await solo(['vm', '--help'])
    expect(help).toMatchObject({ status: 0, stderr: '' })
    for (const word of ['--shell', '--no-snapshot', 'Exit status', '125']) expect(help.stdout).toContain(word)
    const nothing = await solo(['vm'])
    expect(nothing).toMatchObject({ status: 2, stdout: '' })
    expect(nothing.stderr).toContain('solo vm [options] -- PROGRAM')
  })
})

describe('solo build', () => {
  test('solo build prints every mistake by file and key, with status 2 and no stack trace', async () => {
    const config = `export default {
      name: 'x',
      sevices: [],
      services: [{ name: 'web', entry: './src/none.ts' }, { name: 'web', entry: 3 }, { name: 'empty' }],
    }`
    expect(await build({ 'solo.config.ts': config })).toEqual({
      status: 2,
      stdout: '',
      stderr: [
        'solo.config.ts: services[1].entry: expected the path of a TypeScript file, relative to solo.config.ts, got 3',
        'solo.config.ts: sevices: unknown key; did you mean "services"?',
        'solo.config.ts: services[0].entry: expected a file, got "./src/none.ts", which does not exist',
        'solo.config.ts: services[2]: expected entry (a TypeScript file) or command (a program of the image), got neither',
        'solo.config.ts: services[1].name: expected a name of its own, got "web", as services[0] has',
        '',
      ].join('\n'),
    })
  })

  test('solo build names file and line of a syntax error', async () => {
    const ended = await build({ 'solo.config.ts': 'export default {\n  name: "x",\n  services: [ {{ ]\n}\n' })
    expect(ended.status).toBe(2)
    expect(ended.stderr).toMatch(/^solo\.config\.ts: line 3: Expected identifier but found "\{"\n/)
    expect(ended.stderr).not.toContain('    at ')
  })

  test('solo build names file and line of what the configuration throws', async () => {
    expect((await build({ 'solo.config.ts': '\n\nthrow new Error("no such thing")\n' })).stderr).toBe(
      'solo.config.ts: line 3: no such thing\n',
    )
    const files = {
      'solo.config.ts': 'import "./other.ts"\nexport default {}',
      'other.ts': '\nthrow new Error("x")',
    }
    expect((await build(files)).stderr).toBe('solo.config.ts: other.ts line 2: x\n')
    expect((await build({ 'solo.config.ts': 'throw "text"' })).stderr).toBe('solo.config.ts: threw "text"\n')
  })

  test('solo build says what an import cannot find, and that a default export is missing', async () => {
    const missing = await build({ 'solo.config.ts': 'import x from "./nope.ts"\nexport default x' })
    expect(missing.status).toBe(2)
    expect(missing.stderr).toMatch(/^solo\.config\.ts: Cannot find module '\.\/nope\.ts'/)
    expect(await build({ 'solo.config.ts': 'export const config = {}' })).toEqual({
      status: 2,
      stdout: '',
      stderr: 'solo.config.ts: expected export default defineAppliance({ … }), got no default export\n',
    })
  })

  test('solo build finds defineAppliance for a project that has not installed it', async () => {
    const config = `import { defineAppliance } from '@pkg/distro/config'
      export default defineAppliance({ name: 'a', services: [{ name: 'web' }] })`
    const ended = await build({ 'solo.config.ts': config })
    expect(ended.stderr).toMatch(/^solo\.config\.ts: services\[0\]: expected entry .*, got neither\n$/)
    expect(ended.status).toBe(2)
  })

  test('solo build refuses an empty --out, as of a variable that is not set', async () => {
    const ended = await build({}, '--out', '')
    expect(ended.status).toBe(2)
    expect(ended.stderr).toMatch(/^solo: .*expected a folder, got nothing.*\n$/)
  })

  test('solo build says where it looked for a configuration', async () => {
    expect(await build({})).toEqual({
      status: 2,
      stdout: '',
      stderr:
        'solo: there is no solo.config.ts in .: name the folder of an appliance, such as: solo build examples/hello\n',
    })
  })

  test('solo build ends by Ctrl-C with status 130; apt ends with it, and nothing half-written stays', async () => {
    using folder = testFolder()
    // A mirror that takes the question and never answers.
    const asked = Promise.withResolvers<Socket>()
    const mirror = createServer((socket) => asked.resolve(socket.resume())).listen(0, '127.0.0.1')
    await once(mirror, 'listening')
    const { port } = mirror.address() as AddressInfo
    writeFileSync(join(folder.path, 'mirror.list'), `deb [trusted=yes] http://127.0.0.1:${port} ./\n`)
    writeFileSync(
      join(folder.path, 'solo.config.ts'),
      `export default { name: 'x', services: [], apt: { suite: 'x', sources: './mirror.list' } }`,
    )
    const child = spawn(process.execPath, [main, 'build', folder.path], {
      env: { ...process.env, SOLO_CACHE_DIR: join(folder.path, 'cache'), http_proxy: '' },
      stdio: 'ignore',
    })
    const ended = once(child, 'exit')
    const closed = once(await asked.promise, 'close')
    child.kill('SIGINT')
    expect(await ended).toEqual([130, null])
    await closed
    mirror.close()
    expect(readdirSync(folder.path).toSorted()).toEqual(['cache', 'mirror.list', 'solo.config.ts'])
    expect(readdirSync(join(folder.path, 'cache'))).toEqual(['apt'])
  })

  test('solo build ends with one line when the disk of the cache is full while apt waits for more', async () => {
    using folder = testFolder()
    const mirror = createServer((socket) => socket.resume()).listen(0, '127.0.0.1')
    await once(mirror, 'listening')
    const { port } = mirror.address() as AddressInfo
    writeFileSync(join(folder.path, 'mirror.list'), `deb [trusted=yes] http://127.0.0.1:${port} ./\n`)
    writeFileSync(
      join(folder.path, 'solo.config.ts'),
      `export default { name: 'x', services: [], apt: { suite: 'x', sources: './mirror.list' } }`,
    )
    const cache = join(folder.path, 'cache')
    mkdirSync(cache)
    // Room for the files that apt begins with, but not for a list.
    const script = 'mount -t tmpfs -o size=64k none "$1" && exec "$2" "$3" build "$4"'
    const words = ['-rm', 'sh', '-c', script, 'sh', cache, process.execPath, main, folder.path]
    const env = { ...process.env, SOLO_CACHE_DIR: cache, http_proxy: '' }
    const ended = await new Promise<Ended>((resolve) => {
      execFile('unshare', words, { env }, (error, stdout, stderr) => {
        resolve({ status: error === null ? 0 : Number(error.code), stdout, stderr })
      })
    })
    mirror.close()
    expect(ended.stderr.split('\n').slice(1)).toEqual([
      expect.stringMatching(/^solo: cannot write .*: the disk is full: free some space/),
      '',
    ])
    expect(ended.status).toBe(1)
  })
})
