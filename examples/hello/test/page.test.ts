import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { escapeHtml, html } from '../src/html.ts'
import { readMachine, type Machine } from '../src/machine.ts'
import { formatBytes, formatDuration, renderPage } from '../src/page.ts'

/** Reads markup as a browser does, as far as text goes. */
function unescape(markup: string): string {
  const characters: Record<string, string> = { amp: '&', lt: '<', gt: '>', quot: '"', '#39': "'" }
  return markup.replaceAll(/&(amp|lt|gt|quot|#39);/g, (_, name: string) => characters[name] ?? '')
}

const text = fc.string({ unit: fc.oneof(fc.constantFrom('&', '<', '>', '"', "'", ';', 'amp;'), fc.string()) })

describe('html``', () => {
  test('keeps every text a text: no bracket or quote is left, and it reads as before', () => {
    fc.assert(
      fc.property(text, (value) => {
        const markup = html`${value}`.markup
        expect(markup).not.toMatch(/[<>"']/)
        expect(unescape(markup)).toBe(value)
        expect(markup).toBe(escapeHtml(value))
      }),
    )
  })

  test('leaves its own words, and Html within, as they are', () => {
    expect(html`<p title="${'"'}">${[html`<b>${'<'}</b>`, 1]}</p>`.markup).toBe(
      '<p title="&quot;"><b>&lt;</b>1</p>',
    )
  })
})

const sample: Machine = {
  ...readMachine(),
  release: {
    ...{ version: '1.4', counter: 7, slot: 'solo-b', standing: 'kept' },
    lastRollback: '1.3 was given up: service web is not healthy',
  },
  services: [{ name: 'web', memoryBytes: 41_984_000, pids: [87] }],
  processes: [
    {
      pid: 1,
      ppid: 0,
      name: 'bun',
      state: 'S',
      uid: 0,
      cgroup: '/init',
      residentBytes: 1024,
      role: 'init',
      service: null,
    },
    {
      pid: 2,
      ppid: 0,
      name: 'kthreadd',
      state: 'S',
      uid: 0,
      cgroup: '/',
      residentBytes: 0,
      role: 'kernel',
      service: null,
    },
    {
      pid: 87,
      ppid: 1,
      name: 'bun',
      state: 'S',
      uid: 61_202,
      cgroup: '/solo/web',
      residentBytes: 1,
      role: 'service',
      service: 'web',
    },
  ],
  users: { 61_202: 'web' },
  zombies: 0,
  pid1: { command: '/bin/bun /sbin/init.js', isSolo: true },
  self: { pid: 87 },
}

describe('renderPage()', () => {
  test('says which PID is who', () => {
    const page = renderPage(sample)
    expect(page).toContain('init (Bun running @pkg/init)')
    expect(page).toContain('service web, this page')
    expect(page).toContain('/solo/web')
    expect(page).toContain('40.0 MiB')
  })

  test('says which release runs, in which slot, and why another does not', () => {
    const page = renderPage(sample)
    expect(page).toMatch(/<dt>Version<\/dt>\s*<dd>\s*1\.4<small>release 7, solo-b, kept<\/small>/)
    expect(page).toContain('1.3 was given up: service web is not healthy')
    expect(renderPage({ ...sample, release: null })).not.toContain('<dt>Version</dt>')
  })

  test('folds the threads of the kernel, and only them', () => {
    const folded = /<details>.*<\/details>/s.exec(renderPage(sample))?.[0] ?? ''
    expect(folded).toContain('kthreadd')
    expect(folded).not.toContain('/solo/web')
  })

  test('escapes hostile names wherever they come from', () => {
    const hostile = `</style><script>alert("'1'")</script>`
    const [first] = sample.processes
    const page = renderPage({
      ...sample,
      hostname: hostile,
      kernel: { sysname: hostile, release: hostile, version: hostile, machine: hostile },
      mounts: [{ target: hostile, source: hostile, type: hostile, options: hostile }],
      services: [{ name: hostile, memoryBytes: null, pids: [] }],
      processes: first ? [{ ...first, name: hostile, cgroup: hostile, state: hostile }] : [],
      users: { 0: hostile },
      pid1: { command: hostile, isSolo: false },
    })
    expect(page).not.toContain('<script')
    expect(page.match(/<\/style>/g)).toHaveLength(1)
  })

  test('labels every scrolling region with a heading that is there', () => {
    const page = renderPage(sample)
    const labels = [...page.matchAll(/aria-labelledby="([^"]+)"/g)].map(([, id]) => id)
    expect(labels).toEqual(['services', 'processes', 'threads', 'mounts'])
    for (const id of labels) expect(page.split(`id="${id}"`)).toHaveLength(2)
  })
})

test('formatBytes() gives one decimal in the largest fitting unit', () => {
  expect([0, 1023, 1024, 41_984_000, 2 ** 34].map(formatBytes)).toEqual([
    '0 B',
    '1023 B',
    '1.0 KiB',
    '40.0 MiB',
    '16.0 GiB',
  ])
})

test('formatDuration() gives the two largest units, without those that are zero', () => {
  expect([0, 59.9, 60, 725, 86_400, 273_600].map(formatDuration)).toEqual([
    '0 s',
    '59 s',
    '1 min',
    '12 min 5 s',
    '1 d',
    '3 d 4 h',
  ])
})
