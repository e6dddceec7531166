// What a build makes boots: the check, what it says when something is wrong, and `solo run` with Ctrl-C.
import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { buildAppliance, type BuildResult } from '../src/build.ts'
import { checkAppliance, startAppliance } from '../src/run.ts'
import { makeKey } from './support/agent.ts'
import { testFolder } from './support/folder.ts'

const root = testFolder()
const main = fileURLToPath(new URL('../src/solo.ts', import.meta.url))
let built: BuildResult

/** The page says who serves it, and fails when it is asked to: the check of a bad page needs no second image. */
const server = `
let healthy = process.env.HEALTHY !== 'no'
Bun.serve({
  port: Number(process.env.PORT),
  fetch: () => new Response(JSON.stringify({ uid: process.getuid(), ppid: process.ppid }), { status: healthy ? 200 : 503 }),
})
console.log('serving')
`

function project(name: string, environment: Readonly<Record<string, string>>, more: object = {}): string {
  const folder = join(root.path, name)
  mkdirSync(folder)
  writeFileSync(join(folder, 'server.ts'), server)
  const service = { name: 'web', entry: './server.ts', ports: [8080], environment }
  writeFileSync(
    join(folder, 'solo.config.ts'),
    `export default ${JSON.stringify({ name, services: [service], ...more })}\n`,
  )
  return folder
}

beforeAll(async () => {
  built = await buildAppliance(project('good', {}))
})
afterAll(() => root[Symbol.dispose]())

describe('checkAppliance()', () => {
  test('checkAppliance() boots, fetches the page, powers off and reports', async () => {
    const lines: string[] = []
    const report = await checkAppliance(built, { onConsole: (text) => lines.push(text) })
    expect(report).toMatchObject({ running: 1, failed: 0, failures: '' })
    expect(report.url).toMatch(/^http:\/\/127\.0\.0\.1:\d+\/$/)
    expect(report.pageBytes).toBeGreaterThan(10)
    expect(report.residentMiB).toBeGreaterThan(5)
    expect(report.residentMiB).toBeLessThan(200)
    expect(lines.join('')).toContain('web: serving')
  })

  test('checkAppliance() says which page was not served, and how, with the last lines of the console', async () => {
    const bad = await buildAppliance(project('bad', { HEALTHY: 'no' }))
    const checking = checkAppliance(bad, { pageTimeoutMs: 2000 })
    await expect(checking).rejects.toThrow(
      /^http:\/\/127\.0\.0\.1:\d+\/ was not served within \d+ s: status 503\n/,
    )
    await expect(checking).rejects.toThrow(/The console's last lines:\n(.*\n)*.*init: ready in/)
  })

  test('checkAppliance() fails when the kernel panics, and shows the panic', async () => {
    const manifest = {
      ...built.manifest,
      commandLine: [...built.manifest.commandLine, 'rdinit=/none', 'root=/dev/none'],
    }
    await expect(checkAppliance({ ...built, manifest })).rejects.toThrow(
      /panicked: VFS: .*\n(.*\n)*.*Kernel panic/,
    )
  })
})

describe('solo run', () => {
  test('solo run prints the address when it is ready, and how to ask the agent; Ctrl-C powers the guest off cleanly', async () => {
    // A name of its own: what is tried again finds the first one's.
    const key = makeKey(root.path, `owner-${Date.now()}`)
    const agent = { keys: [readFileSync(`${key}.pub`, 'utf8').trim()] }
    const args = [
      main,
      'run',
      project(`with-agent-${Date.now()}`, {}, { agent }),
      '--forward',
      '0:8080',
      '--forward',
      '0:8443',
    ]
    const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'pipe'] })
    const ended = once(child, 'exit')
    let output = ''
    let errors = ''
    child.stderr.on('data', (data: Buffer) => (errors += data.toString()))
    const address = await new Promise<string>((resolve, reject) => {
      child.stdout.on('data', (data: Buffer) => {
        output += data.toString()
        const match = /^ready: (http:\S+) https:\S+$/m.exec(output)
        if (match !== null) resolve(match[1] as string)
      })
      child.on('exit', () => reject(new Error(`${output}${errors}`)))
    })
    const page = (await (await fetch(address, { signal: AbortSignal.timeout(10_000) })).json()) as {
      uid: number
      ppid: number
    }
    expect(page.ppid).toBe(1)
    expect(page.uid).toBeGreaterThanOrEqual(61_184)
    const [, device = ''] = /^its agent: solo status (127\.0\.0\.1:\d+)$/m.exec(errors) ?? []
    // The agent makes its key at the first boot, which may take longer than the page.
    const shown = (): string => /certificate SHA-256 ([0-9A-F:]{95})/.exec(output)?.[1] ?? ''
    await expect.poll(shown).not.toBe('')
    const fingerprint = shown()
    const status = [main, 'status', device, '--key', key, '--fingerprint', fingerprint]
    const env = { ...process.env, SOLO_DEVICES: join(root.path, 'devices.json') }
    const { stdout } = await promisify(execFile)(process.execPath, status, { env })
    expect(stdout).toMatch(/^services +web +running +ready\n +agent +running +ready/m)
    child.kill('SIGINT')
    expect(await ended).toEqual([0, null])
    expect(output).toContain('init: power-off now')
    expect(errors).toContain('powering off')
  })

  test('startAppliance() names a port that is in use and the way out', async () => {
    const taken = createServer().listen(0, '127.0.0.1')
    await once(taken, 'listening')
    const { port } = taken.address() as { port: number }
    try {
      await expect(startAppliance(built, { forwards: [{ host: port, guest: 8080 }] })).rejects.toThrow(
        `port ${port} of 127.0.0.1 is in use by another program`,
      )
    } finally {
      taken.close()
    }
  })
})
