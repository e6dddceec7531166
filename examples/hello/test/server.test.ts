import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import type { Machine } from '../src/machine.ts'
import { handle } from '../src/server.ts'

const get = (path: string, method = 'GET'): Response => handle(new Request(`http://hello${path}`, { method }))
const uname = (option: string): string => execFileSync('uname', [option], { encoding: 'utf8' }).trim()

describe('handle()', () => {
  test('answers /machine.json with what uname(1) and /proc say', async () => {
    const response = get('/machine.json')
    const machine = (await response.json()) as Machine
    expect(response.headers.get('content-type')).toBe('application/json; charset=utf-8')
    expect(machine.kernel).toMatchObject({ release: uname('-r'), machine: uname('-m'), version: uname('-v') })
    expect(machine.hostname).toBe(uname('-n'))
    const uptimeSeconds = Number.parseFloat(readFileSync('/proc/uptime', 'utf8'))
    expect(Math.abs(machine.uptimeSeconds - uptimeSeconds)).toBeLessThan(5)
    const totalKb = Number(/^MemTotal:\s+(\d+) kB/.exec(readFileSync('/proc/meminfo', 'utf8'))?.[1])
    expect(machine.memory.totalBytes).toBe(totalKb * 1024)
    expect(machine.mounts.map(({ target }) => target)).toContain('/proc')
    expect(machine.processes.map(({ pid }) => pid)).toContain(process.pid)
    expect(machine.self.pid).toBe(process.pid)
    expect(machine.zombies).toBe(machine.processes.filter(({ state }) => state === 'Z').length)
  })

  test('answers / with a page whose only style sheet is the one that its policy allows', async () => {
    const response = get('/')
    const page = await response.text()
    expect(response.headers.get('content-type')).toBe('text/html; charset=utf-8')
    expect(page).toContain(uname('-r'))
    const style = /<style>(.*?)<\/style>/s.exec(page)?.[1] ?? ''
    const hash = createHash('sha256').update(style).digest('base64')
    expect(response.headers.get('content-security-policy')).toContain(`style-src 'sha256-${hash}'`)
    expect(page).not.toMatch(/ style="|<script| on\w+="/)
  })

  test('answers /healthz with ok', async () => {
    expect(await get('/healthz').text()).toBe('ok\n')
  })

  test('answers 404 for other paths and 405 for other methods', () => {
    expect(get('/etc/passwd').status).toBe(404)
    expect(get('/', 'HEAD').status).toBe(200)
    expect(get('/', 'POST').status).toBe(405)
    expect(get('/', 'POST').headers.get('allow')).toBe('GET, HEAD')
  })
})
