import { execFileSync } from 'node:child_process'
import { closeSync, openSync, readSync, rmSync } from 'node:fs'
import { expect, test } from 'vitest'
import { startPid1 } from './namespace/pid1.ts'

// Two shared cores: what takes 0.1 s alone may take seconds.

const nobody = { uid: 65_534, gid: 65_534 }
const shell = (name: string, script: string, more: object = {}) => {
  return { name, command: ['/bin/sh', '-c', script], ...nobody, ...more }
}
const READY = /init: ready in \d+ ms: /

/** The number at the end of a line. */
const numberIn = (line: string): number => Number(/\d+$/.exec(line)?.[0])

test('PID 1 captures output by line, runs a service as its user in its cgroup, and says when it is ready', async () => {
  await using pid1 = startPid1([
    shell('web', 'echo "id $(id -u) $(id -g)"; cat /proc/self/cgroup; printf partial >&2; exec sleep 60'),
  ])
  const ready = await pid1.waitFor(READY)
  expect(ready).toMatch(
    /^\[ *\d+\.\d{6}\] init: ready in \d+ ms: 2 services running, 0 failed, resident \d+\.\d MiB$/,
  )
  await pid1.waitFor(/web: id 65534 65534$/)
  await pid1.waitFor(/web: 0::\/solo-test-[\d-]+\/web$/)
  pid1.tell('pkill -x sleep')
  await pid1.waitFor(/web: partial$/)
})

test('PID 1 starts a killed service again', async () => {
  await using pid1 = startPid1([
    shell('web', 'echo "run $$"; exec sleep 60', { restartDelayMs: { initial: 50 } }),
  ])
  const first = numberIn(await pid1.waitFor(/web: run \d+$/))
  pid1.tell(`kill -9 ${first}`)
  await pid1.waitFor(/init: web: killed by SIGKILL after \d+ ms; starting again in \d+ ms$/)
  await pid1.waitFor(new RegExp(`web: run (?!${first}$)\\d+$`))
})

test('PID 1 names a service whose program is missing in the line that says ready', async () => {
  await using pid1 = startPid1([{ name: 'web', command: ['/no/such/program'], ...nobody }])
  expect(await pid1.waitFor(READY)).toContain(
    '1 service running, 1 failed (web: spawn /no/such/program: execve: ENOENT',
  )
})

test('PID 1 reaps 200 orphans and leaves no zombie', async () => {
  await using pid1 = startPid1([], {}, ['--debug'])
  await pid1.waitFor(READY)
  pid1.tell('for i in $(seq 200); do (sleep 0.2 & ); done')
  await expect
    .poll(() => pid1.lines.filter((line) => / init: reaped orphan \d+$/.test(line)))
    .toHaveLength(200)
  pid1.tell('echo "zombies $(grep -l "^State:.*Z" /proc/[0-9]*/status 2>/dev/null | wc -l)"')
  expect(await pid1.waitFor(/driver: zombies \d+$/)).toMatch(/zombies 0$/)
})

test('PID 1 kills what a service leaves behind in another session, by its cgroup', async () => {
  await using pid1 = startPid1([
    shell('web', 'trap "exit 3" USR1; setsid sleep 77 & while :; do sleep 0.05; done', { restart: 'never' }),
  ])
  pid1.tell(
    'until pgrep -fx "sleep 77" > /dev/null; do sleep 0.05; done; echo running; pkill -USR1 -f "trap"',
  )
  await pid1.waitFor(/driver: running$/)
  await pid1.waitFor(/init: web: failed: exited with status 3/)
  pid1.tell('while pgrep -fx "sleep 77" > /dev/null; do sleep 0.05; done; echo gone')
  await pid1.waitFor(/driver: gone$/)
})

test('PID 1 kills a service that ignores SIGTERM at its time, in the shutdown too', async () => {
  await using pid1 = startPid1([
    shell('deaf', "trap '' TERM; echo deaf; while :; do sleep 1; done", { stopTimeoutMs: 700 }),
  ])
  await pid1.waitFor(/deaf: deaf$/)
  const startMs = performance.now()
  pid1.tell('kill -TERM 1')
  await pid1.waitFor(/init: deaf: still running 700 ms after SIGTERM, killing its cgroup$/)
  await pid1.waitFor(/init: deaf: stopped, killed by SIGKILL$/)
  expect(await pid1.ended).toEqual({ code: null, signal: 'SIGINT' })
  expect(performance.now() - startMs).toBeGreaterThan(690)
})

test('PID 1 bounds a flood of lines and cuts long ones, and goes on', async () => {
  await using pid1 = startPid1([
    // One of the long lines comes when the flood before has been read.
    shell('flood', 'seq 50000; while sleep 0.2; do head -c 5000 /dev/zero | tr "\\0" x; echo; done'),
  ])
  await pid1.waitFor(/flood: \(\d+ lines suppressed: more than 200 a second\)$/)
  await pid1.waitFor(/flood: …x+…$/)
  pid1.tell('pkill -f "seq 50000"')
  await pid1.waitFor(/init: flood: killed by SIGTERM/)
  expect(pid1.lines.filter((line) => / flood: /.test(line)).length).toBeLessThan(3000)
  pid1.tell('echo alive')
  await pid1.waitFor(/driver: alive$/)
})

test('PID 1 runs and stops services as root of a user namespace, where setgroups is forbidden', async () => {
  await using pid1 = startPid1([], {}, [], ['--user', '--map-root-user'])
  expect(await pid1.waitFor(READY)).toContain('1 service running, 0 failed')
  pid1.tell('echo "setgroups $(cat /proc/self/setgroups)"')
  await pid1.waitFor(/driver: setgroups deny$/)
  pid1.tell('kill -TERM 1')
  expect(await pid1.ended).toEqual({ code: null, signal: 'SIGINT' })
})

test('PID 1 goes on while nobody reads its console', async () => {
  const path = `/var/tmp/solo-console-${process.pid}`
  execFileSync('mkfifo', [path])
  const fifo = openSync(path, 'r+')
  try {
    const long = 'x'.repeat(1500)
    const flood = shell('flood', `for i in $(seq 600); do echo ${long}; done; exec sleep 60`)
    await using pid1 = startPid1([flood], {}, ['--console', path])
    // 600 lines of 1500 bytes are more than the pipe (64 KiB) and the queue (256 KiB) hold.
    pid1.tell('until pgrep -fx "sleep 60" > /dev/null; do sleep 0.05; done; kill -TERM 1')
    expect(await pid1.ended).toEqual({ code: null, signal: 'SIGINT' })
    const bytes = Buffer.alloc(128 * 1024)
    expect(bytes.toString('utf8', 0, readSync(fifo, bytes))).toContain(`flood: ${long}\n`)
  } finally {
    closeSync(fifo)
    rmSync(path)
  }
})

// A pid namespace's init is killed by SIGINT for "halt" and "power off", by SIGHUP for "restart": reboot(2).
test.each([
  ['TERM', 'power-off', 'SIGINT'],
  ['INT', 'reboot', 'SIGHUP'],
  ['PWR', 'power-off', 'SIGINT'],
  ['USR1', 'halt', 'SIGINT'],
  ['USR2', 'power-off', 'SIGINT'],
  ['37', 'halt', 'SIGINT'],
  ['38', 'power-off', 'SIGINT'],
  ['39', 'reboot', 'SIGHUP'],
  ['40', 'kexec', 'SIGHUP'],
  ['47', 'halt', 'SIGINT'],
  ['48', 'power-off', 'SIGINT'],
  ['49', 'reboot', 'SIGHUP'],
  ['50', 'kexec', 'SIGHUP'],
] as const)('PID 1 takes signal %s for %s', async (signal, kind, end) => {
  await using pid1 = startPid1([])
  await pid1.waitFor(READY)
  pid1.tell(`kill -s ${signal} 1`)
  await pid1.waitFor(new RegExp(`init: shutting down: ${kind}`))
  expect(await pid1.ended).toEqual({ code: null, signal: end })
})

test('PID 1 stops services in reverse order, and then everything else', async () => {
  await using pid1 = startPid1([
    shell('db', 'trap "echo bye; exit" TERM; echo up; while :; do sleep 0.1; done'),
    shell('web', 'trap "sleep 0.3; exit" TERM; echo up; while :; do sleep 0.1; done', { after: ['db'] }),
  ])
  await pid1.waitFor(/db: up$/)
  await pid1.waitFor(/web: up$/)
  pid1.tell('kill -TERM 1')
  await pid1.ended
  const at = (pattern: RegExp): number => pid1.lines.findIndex((line) => pattern.test(line))
  expect(at(/init: web: stopped/)).toBeGreaterThan(0)
  expect(at(/init: web: stopped/)).toBeLessThan(at(/db: bye/))
  expect(at(/init: db: stopped/)).toBeLessThan(at(/init: power-off now/))
})

test('PID 1 of a machine sets host name, loopback and kernel settings before the services', async () => {
  const check = 'hostname; cat /proc/sys/net/ipv4/ip_forward; grep -c lo /proc/net/if_inet6; exec sleep 60'
  await using pid1 = startPid1(
    [shell('check', check)],
    { hostname: 'solo-test', sysctl: { 'net.ipv4.ip_forward': '1' } },
    ['--mode', 'machine', '--console', '-'],
  )
  await pid1.waitFor(READY)
  for (const line of [/check: solo-test$/, /check: 1$/]) await pid1.waitFor(line)
  await pid1.waitFor(/init: loopback \(\d+\.\d ms\)$/)
})

test('PID 1 of a namespace says what is wrong with its plan and ends with status 78', async () => {
  await using pid1 = startPid1([{ name: 'web', command: ['web'], ...nobody }])
  await pid1.waitFor(
    /plan\.json: services\[0\]\.command\[0\]: expected the absolute path of a program, found "web"$/,
  )
  expect(await pid1.ended).toEqual({ code: 78, signal: null })
})

test('PID 1 starts what waits for a service when systemd-notify, from a child of it, says READY', async () => {
  const script =
    'test -S "$NOTIFY_SOCKET" && sleep 0.3; systemd-notify --ready --status="all there"; exec sleep 60'
  await using pid1 = startPid1([
    { ...shell('db', script), ready: { notify: true } },
    shell('web', 'echo up; exec sleep 60', { after: ['db'] }),
  ])
  await pid1.waitFor(/web: up$/)
  const at = (pattern: RegExp): number => pid1.lines.findIndex((line) => pattern.test(line))
  expect(at(/init: db: ready after \d+ ms$/)).toBeGreaterThan(at(/init: db: started/))
  expect(at(/web: up$/)).toBeGreaterThan(at(/init: db: ready after/))
})

test('PID 1 does not take the READY of another service, or of nobody, for that of the one that it waits for', async () => {
  const waits = { ready: { notify: true, timeoutMs: 1500 }, restartDelayMs: { initial: 60_000, max: 60_000 } }
  await using pid1 = startPid1([
    shell('db', 'exec sleep 60', waits),
    shell('liar', 'systemd-notify --ready; exit 0', { after: [], watchdogMs: 60_000, restart: 'never' }),
  ])
  pid1.tell(`NOTIFY_SOCKET=${pid1.run}/notify systemd-notify --ready; echo lied`)
  await pid1.waitFor(/driver: lied$/)
  await pid1.waitFor(/init: liar: done/)
  await pid1.waitFor(/init: db: not ready within 1500 ms$/)
  expect(pid1.lines.filter((line) => line.includes('db: ready'))).toEqual([])
})

test('PID 1 starts a service again whose health probe fails, and one whose watchdog hears nothing', async () => {
  const quick = { restartDelayMs: { initial: 50 } }
  const file = `/var/tmp/solo-health-${process.pid}`
  await using pid1 = startPid1([
    shell('web', 'echo "run $$"; exec sleep 60', {
      ...quick,
      health: { command: ['/bin/sh', '-c', `test ! -e ${file} || { echo broken; exit 1; }`], intervalMs: 50 },
    }),
    shell('dog', 'systemd-notify WATCHDOG=1; echo "barks for $WATCHDOG_USEC us"; exec sleep 60', {
      ...quick,
      watchdogMs: 700,
    }),
  ])
  await pid1.waitFor(/dog: barks for 700000 us$/)
  await pid1.waitFor(/init: dog: no sign of life \(WATCHDOG=1\) for 700 ms$/)
  const first = numberIn(await pid1.waitFor(/web: run \d+$/))
  pid1.tell(`touch ${file}`)
  await pid1.waitFor(/init: web: unhealthy: \/bin\/sh exited with status 1: broken \(3 times in a row\)$/)
  pid1.tell(`rm ${file}`)
  await pid1.waitFor(new RegExp(`web: run (?!${first}$)\\d+$`))
})

test('PID 1 gives a service the capabilities that its plan names, and no others', async () => {
  const show = 'grep -E "^Cap(Eff|Bnd|Amb)" /proc/self/status | tr -d "\\t\\n"; echo; exec sleep 60'
  const capabilities = ['CAP_NET_BIND_SERVICE', 'CAP_SYS_TIME']
  const mask = ((1n << 10n) | (1n << 25n)).toString(16).padStart(16, '0')
  await using pid1 = startPid1([
    shell('user', show, { capabilities }),
    { ...shell('root', show, { capabilities }), uid: 0, gid: 0 },
    { ...shell('bare', show, { capabilities: [] }), uid: 0, gid: 0 },
  ])
  await pid1.waitFor(new RegExp(`user: CapEff:${mask}CapBnd:${mask}CapAmb:${mask}$`))
  await pid1.waitFor(new RegExp(`root: CapEff:${mask}CapBnd:${mask}CapAmb:`))
  await pid1.waitFor(/bare: CapEff:0{16}CapBnd:0{16}CapAmb:0{16}$/)
})
