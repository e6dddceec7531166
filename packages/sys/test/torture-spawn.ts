// Spawns again and again while memory is allocated and collected, code compiled, and signals storm:
//
//     bun packages/sys/test/torture-spawn.ts [count, default 30000] [seed]
//
// Prints what it did and what went wrong as JSON; status 1 when anything did. spawn.test.ts runs a short one.
import { readdirSync, readlinkSync } from 'node:fs'
import { CLONE_NEWUTS, P_PIDFD, SIGRTMIN, WEXITED } from '../src/constants.ts'
import { isSysError } from '../src/errno.ts'
import { waitid } from '../src/process.ts'
import { Program } from '../src/program.ts'
import { runProgram } from '../src/run-program.ts'
import { watchSignals } from '../src/signal.ts'
import { spawn } from '../src/spawn.ts'
import { zombieCount } from './left-behind.ts'

const [count = '30000', seed = String(Date.now() % 1_000_000)] = process.argv.slice(2)

/** Marsaglia's xorshift: the order of kinds is that of the seed. */
function randomFrom(start: number): (below: number) => number {
  let state = start | 1
  return (below) => {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    return (state >>> 0) % below
  }
}

/** In a thread of its own: garbage of all sizes, and functions that are hot, once each. */
const load = `
  let kept = []
  postMessage('ready')
  for (;;) {
    for (let size = 1; size < 1 << 18; size *= 3) kept.push(new Uint8Array(size), { size, text: 'x'.repeat(size % 997) })
    if (kept.length > 4000) { kept = []; Bun.gc(false) }
    const hot = new Function('n', 'let sum = ' + Math.random() + '; for (let i = 0; i < n; i++) sum += i % 7; return sum')
    for (let call = 0; call < 200; call++) hot(200)
    await new Promise((resolve) => setImmediate(resolve))
  }`

let signals = 0
using watch = watchSignals([SIGRTMIN], () => void signals++)
void watch
process.on('SIGUSR1', () => void signals++)
const storm = spawn({
  file: '/bin/sh',
  args: ['-c', `while kill -USR1 ${process.pid} && kill -${SIGRTMIN} ${process.pid}; do :; done`],
  env: {},
})
const worker = new Worker(`data:text/javascript,${encodeURIComponent(load)}`)
await new Promise((resolve) => worker.addEventListener('message', resolve, { once: true }))

const problems = new Map<string, number>()
const complain = (problem: string): void => void problems.set(problem, (problems.get(problem) ?? 0) + 1)
const expectThat = (isSo: boolean, problem: string): void => {
  if (!isSo) complain(problem)
}

async function awaited(): Promise<void> {
  using child = spawn({ file: '/bin/true', env: {} })
  const { code } = await child.wait()
  expectThat(code === 0, `true ended with ${code}`)
}

function waited(): void {
  using child = spawn({ file: '/bin/false', env: {} })
  const result = waitid({ idtype: P_PIDFD, id: child.pidfd, options: WEXITED })
  expectThat(result?.status === 1, `false ended with ${result?.status}`)
}

async function piped(round: number): Promise<void> {
  const args = ['-c', `echo ${round}; umask; exit 7`]
  using child = spawn({ file: '/bin/sh', args, env: {}, umask: 0o31, stdio: ['null', 'pipe', 'inherit'] })
  const text = await new Response(Bun.file(child.stdout?.fd ?? -1)).text()
  const { code } = await child.wait()
  expectThat(
    text === `${round}\n0031\n` && code === 7,
    `sh said ${JSON.stringify(text)} and ended with ${code}`,
  )
}

function failing(): void {
  try {
    spawn({ file: '/none/such', env: {} })[Symbol.dispose]()
    complain('a program that is not there was started')
  } catch (error) {
    expectThat(isSysError(error, 'ENOENT'), String(error))
  }
}

function borrowed(): void {
  const program = new Program()
  program.call('sethostname', 'tortured', 8)
  const pid = program.call('getpid')
  const { result } = runProgram(program, { namespaces: CLONE_NEWUTS })
  expectThat(result(pid) > 0, 'a borrowed process without an id')
}

const kinds = [awaited, waited, piped, failing, borrowed]

/** What each open descriptor is. */
const openDescriptors = (): Map<string, string> =>
  new Map(
    readdirSync('/proc/self/fd').flatMap((name) => {
      try {
        return [[name, readlinkSync(`/proc/self/fd/${name}`)]]
      } catch {
        // The one that the folder was read by.
        return []
      }
    }),
  )
const leaked = (): string[] =>
  [...openDescriptors()].flatMap(([name, target]) => (before.has(name) ? [] : [`${name} ${target}`]))

// Once each: what the engine and the package keep open is open then. The engine starts a thread, with a loop, when it
// first has to wait for a pipe: nothing is said in this one until the thread is there.
{
  using slow = spawn({
    file: '/bin/sh',
    args: ['-c', 'read line'],
    env: {},
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  const { size } = openDescriptors()
  const said = new Response(Bun.file(slow.stdout?.fd ?? -1)).text()
  for (let tries = 0; tries < 200 && openDescriptors().size <= size; tries++) await Bun.sleep(10)
  slow.stdin?.close()
  await said
  await slow.wait()
}
process.stderr.write(`seed ${seed}\n`)
for (const kind of kinds) await kind(0)
Bun.gc(true)
await Bun.sleep(50)
const before = openDescriptors()
const random = randomFrom(Number(seed))
for (let round = 1; round <= Number(count); round++) {
  try {
    await kinds[random(kinds.length)]?.(round)
  } catch (error) {
    complain(String(error))
  }
  if (round % 500 === 0) Bun.gc(true)
  if (round % 5000 === 0) process.stderr.write(`${round} spawned, ${signals} signals\n`)
}
// The engine's own descriptors of files that were read close when they are collected.
for (let attempt = 0; attempt < 20 && leaked().length > 0; attempt++) {
  Bun.gc(true)
  await Bun.sleep(50)
}
storm.kill(9)
await storm.wait()
worker.terminate()
expectThat(leaked().length === 0, `descriptors left open: ${leaked().join()}`)
expectThat(zombieCount() === 0, `${zombieCount()} zombies`)
expectThat(signals > Number(count) / 10, `only ${signals} signals came`)
const summary = { count: Number(count), seed: Number(seed), signals, problems: Object.fromEntries(problems) }
process.stdout.write(`${JSON.stringify(summary)}\n`)
process.exit(problems.size === 0 ? 0 : 1)
