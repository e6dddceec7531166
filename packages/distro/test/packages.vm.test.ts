// Daemons of Debian, named as packages, as services of an appliance; asked by their own clients.
import { execFileSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { QemuMachine } from '@pkg/vm/qemu'
import { afterAll, expect, test } from 'vitest'
import { buildAppliance } from '../src/build.ts'
import { powerOff, readyLine, startAppliance } from '../src/run.ts'
import { testFolder } from './support/folder.ts'
import { ask, eventually } from './support/guest.ts'
import { writeProject } from './support/project.ts'

const REDIS = 6379
const NGINX = 8080
const root = testFolder()
afterAll(() => root[Symbol.dispose]())

const nginxConf = `
worker_processes 1;
error_log stderr;
pid /var/lib/nginx/nginx.pid;
events {}
http {
  access_log off;
  client_body_temp_path /var/lib/nginx/body;
  proxy_temp_path /var/lib/nginx/proxy;
  fastcgi_temp_path /var/lib/nginx/fastcgi;
  uwsgi_temp_path /var/lib/nginx/uwsgi;
  scgi_temp_path /var/lib/nginx/scgi;
  include mime.types;
  server { listen ${NGINX}; root /usr/share/nginx/html; }
}
`

function redis(vm: QemuMachine, ...words: string[]): string {
  const port = vm.forwards.find(({ guestPort }) => guestPort === REDIS)?.hostPort
  return execFileSync('redis-cli', ['-h', '127.0.0.1', '-p', String(port), ...words], {
    encoding: 'utf8',
  }).trim()
}

test('redis-server and nginx, named as packages, run as services and answer their clients', async () => {
  const folder = writeProject(root.path, {
    name: 'daemons',
    packages: ['redis-server', 'nginx'],
    files: [{ from: './nginx.conf', to: '/etc/nginx/nginx.conf' }],
    folders: [
      { path: '/var/lib/redis', user: 'redis' },
      { path: '/var/lib/nginx', user: 'nginx' },
    ],
    services: [
      {
        name: 'redis',
        command: [
          '/usr/bin/redis-server',
          ...['--bind', '0.0.0.0', '--protected-mode', 'no', '--save', '', '--dir', '/var/lib/redis'],
        ],
        ports: [REDIS],
      },
      { name: 'nginx', command: ['/usr/sbin/nginx', '-e', 'stderr', '-g', 'daemon off;'], ports: [NGINX] },
    ],
  })
  writeFileSync(join(folder, 'nginx.conf'), nginxConf)
  const notes: string[] = []
  const progress = {
    step: () => {},
    percent: () => {},
    done: () => {},
    note: (line: string) => void notes.push(line),
  }
  const built = await buildAppliance(folder, { progress })
  expect(notes.join('\n')).toMatch(/^packages: .*redis-server [\d:.]+/m)
  expect(notes.join('\n')).toMatch(/^not added, though packages depend on them: .*adduser/m)

  const forwards = [REDIS, NGINX].map((guest) => ({ host: 0, guest }))
  await using vm = await startAppliance(built, { forwards, timeoutMs: 240_000 })
  await vm.console.waitFor(readyLine, { timeoutMs: 120_000 })
  await eventually(
    () => Promise.resolve(redis(vm, 'ping')),
    (answer) => answer === 'PONG',
  )
  expect(redis(vm, 'set', 'solo', 'mio')).toBe('OK')
  expect(redis(vm, 'get', 'solo')).toBe('mio')
  const page = await eventually(
    () => ask(vm, NGINX, '/'),
    ({ status }) => status === 200,
  )
  expect(page.headers.get('server')).toMatch(/^nginx\//)
  expect(await page.text()).toContain('Welcome to nginx!')
  await powerOff(vm)
}, 300_000)
