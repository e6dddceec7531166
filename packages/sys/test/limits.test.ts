// Limits, priorities, the scheduler and what belongs to one thread: set here, seen in /proc.
import { readFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { expect, test } from 'vitest'
import * as c from '../src/constants.ts'
import * as limits from '../src/limits.ts'
import * as scheduler from '../src/scheduler.ts'
import { spawn } from '../src/spawn.ts'
import * as thread from '../src/thread.ts'
import { scriptResult } from './child-script.ts'

function codeOf(action: () => unknown): unknown {
  try {
    return action()
  } catch (error) {
    return (error as { code?: string }).code ?? (error as Error).name
  }
}
const sleeping = (): ReturnType<typeof spawn> =>
  spawn({ file: '/bin/sleep', args: ['60'], env: {}, stdio: ['null', 'null', 'null'] })
const limitLine = (pid: number, name: string): string[] =>
  readFileSync(`/proc/${pid}/limits`, 'utf8')
    .split('\n')
    .find((line) => line.startsWith(name))
    ?.slice(26)
    .trim()
    .split(/\s+/) ?? []

test('prlimit64() sets the limits of another process, as /proc shows them', async () => {
  using child = sleeping()
  const before = limits.prlimit64(child.pid, c.RLIMIT_NOFILE, { soft: 33, hard: 44 })
  expect(limitLine(child.pid, 'Max open files').slice(0, 2)).toEqual(['33', '44'])
  expect(limits.prlimit64(child.pid, c.RLIMIT_NOFILE)).toEqual({ soft: 33, hard: 44 })
  expect(before.soft).toBeGreaterThan(33)
  expect(limits.prlimit64(child.pid, c.RLIMIT_CPU)).toEqual({ soft: Infinity, hard: Infinity })
  expect(codeOf(() => limits.prlimit64(child.pid, c.RLIMIT_NOFILE, { soft: 5, hard: 4 }))).toBe('EINVAL')
  expect(codeOf(() => limits.prlimit64(0x7fff_fffe, c.RLIMIT_NOFILE))).toBe('ESRCH')
  expect(() => limits.prlimit64(0, c.RLIMIT_NOFILE, { soft: -1, hard: 4 })).toThrow(RangeError)
  child.kill(c.SIGKILL)
  await child.wait()
})

test('getrlimit() and setrlimit() are of this process', () => {
  const result = scriptResult(`
    import { readFileSync } from 'node:fs'
    import { RLIMIT_CORE } from '@pkg/sys/constants'
    import { getrlimit, setrlimit } from '@pkg/sys/limits'
    setrlimit(RLIMIT_CORE, { soft: 4096, hard: 8192 })
    const line = readFileSync('/proc/self/limits', 'utf8').split('\\n').find((one) => one.startsWith('Max core'))
    process.stdout.write(JSON.stringify([getrlimit(RLIMIT_CORE), line.split(/ {2,}/).slice(1, 3)]))`)
  expect(result).toEqual([{ soft: 4096, hard: 8192 }, ['4096', '8192']])
})

test('getrusage() and times() count what /proc counts', () => {
  const end = performance.now() + 60
  while (performance.now() < end);
  // All count up, however long the machine looks away between two of them; times() in ticks of 10 ms.
  const before = limits.getrusage()
  const node = process.resourceUsage()
  const ticks = limits.times()
  const after = limits.getrusage()
  expect(before.userUs).toBeGreaterThan(0)
  expect(node.userCPUTime).toBeGreaterThanOrEqual(before.userUs)
  expect(node.userCPUTime).toBeLessThanOrEqual(after.userUs)
  expect(node.maxRSS).toBeGreaterThanOrEqual(before.ru_maxrss)
  expect(node.maxRSS).toBeLessThanOrEqual(after.ru_maxrss)
  expect(limits.getrusage(c.RUSAGE_THREAD).userUs).toBeLessThanOrEqual(limits.getrusage().userUs)
  expect(Number(ticks.tms_utime)).toBeGreaterThanOrEqual(Math.floor(before.userUs / 10_000))
  expect(Number(ticks.tms_utime)).toBeLessThanOrEqual(after.userUs / 10_000)
  expect(ticks.elapsed).toBeGreaterThan(0)
  expect(codeOf(() => limits.getrusage(99))).toBe('EINVAL')
})

test('getpriority() and setpriority() are the nice value of /proc', async () => {
  using child = sleeping()
  limits.setpriority(c.PRIO_PROCESS, child.pid, 7)
  expect(limits.getpriority(c.PRIO_PROCESS, child.pid)).toBe(7)
  expect(readFileSync(`/proc/${child.pid}/stat`, 'utf8').split(') ')[1]?.split(' ')[16]).toBe('7')
  expect(codeOf(() => limits.getpriority(99, 0))).toBe('EINVAL')
  child.kill(c.SIGKILL)
  await child.wait()
})

test('ioprio_get() and ioprio_set() are what ionice shows', async () => {
  using child = sleeping()
  limits.ioprio_set(c.IOPRIO_WHO_PROCESS, child.pid, { class: c.IOPRIO_CLASS_BE, level: 6 })
  expect(limits.ioprio_get(c.IOPRIO_WHO_PROCESS, child.pid)).toEqual({ class: c.IOPRIO_CLASS_BE, level: 6 })
  expect(Bun.spawnSync(['ionice', '-p', String(child.pid)]).stdout.toString()).toBe('best-effort: prio 6\n')
  expect(() => limits.ioprio_set(c.IOPRIO_WHO_PROCESS, child.pid, { class: 2, level: 8 })).toThrow(RangeError)
  child.kill(c.SIGKILL)
  await child.wait()
})

test('sched_getaffinity() and sched_setaffinity() are Cpus_allowed_list of /proc', async () => {
  using child = sleeping()
  expect(scheduler.sched_getaffinity(0)).toHaveLength(availableParallelism())
  const [first = 0] = scheduler.sched_getaffinity(child.pid)
  scheduler.sched_setaffinity(child.pid, [first])
  expect(readFileSync(`/proc/${child.pid}/status`, 'utf8')).toContain(`Cpus_allowed_list:\t${first}\n`)
  expect(codeOf(() => scheduler.sched_setaffinity(child.pid, []))).toBe('EINVAL')
  expect(() => scheduler.sched_setaffinity(child.pid, [8192])).toThrow(RangeError)
  child.kill(c.SIGKILL)
  await child.wait()
})

test('sched_setscheduler(), sched_getscheduler(), sched_setattr(), sched_getattr() and their like: as chrt shows', async () => {
  using child = sleeping()
  const { pid } = child
  const chrt = (): string => Bun.spawnSync(['chrt', '-p', String(pid)]).stdout.toString()
  scheduler.sched_setscheduler(pid, c.SCHED_BATCH, 0)
  expect(scheduler.sched_getscheduler(pid)).toBe(c.SCHED_BATCH)
  expect(chrt()).toContain('SCHED_BATCH')
  scheduler.sched_setattr(pid, { sched_policy: c.SCHED_BATCH, sched_nice: 5 })
  expect(scheduler.sched_getattr(pid)).toMatchObject({
    sched_policy: c.SCHED_BATCH,
    sched_nice: 5,
    sched_priority: 0,
  })
  scheduler.sched_setscheduler(pid, c.SCHED_IDLE, 0)
  expect(chrt()).toContain('SCHED_IDLE')
  expect(codeOf(() => scheduler.sched_setscheduler(pid, c.SCHED_FIFO, 0))).toBe('EINVAL')
  child.kill(c.SIGKILL)
  await child.wait()
})

test('sched_setparam(), sched_getparam() and sched_rr_get_interval() are of real-time policies', async () => {
  using child = sleeping()
  const { pid } = child
  // Needs CAP_SYS_NICE, which root of this machine has; the child sleeps.
  scheduler.sched_setscheduler(pid, c.SCHED_RR, 3)
  scheduler.sched_setparam(pid, 7)
  expect(scheduler.sched_getparam(pid)).toBe(7)
  expect(Bun.spawnSync(['chrt', '-p', String(pid)]).stdout.toString()).toMatch(/SCHED_RR[\s\S]*priority: 7/)
  const slice = readFileSync('/proc/sys/kernel/sched_rr_timeslice_ms', 'utf8').trim()
  expect(scheduler.sched_rr_get_interval(pid)).toBe(BigInt(slice) * 1_000_000n)
  child.kill(c.SIGKILL)
  await child.wait()
})

test('sched_get_priority_min(), sched_get_priority_max() and sched_yield()', () => {
  expect([
    scheduler.sched_get_priority_min(c.SCHED_FIFO),
    scheduler.sched_get_priority_max(c.SCHED_FIFO),
  ]).toEqual([1, 99])
  expect(codeOf(() => scheduler.sched_get_priority_max(99))).toBe('EINVAL')
  scheduler.sched_yield()
})

test('getresuid(), getresgid(), getgroups() and getcpu() are those of /proc', () => {
  const status = readFileSync('/proc/self/status', 'utf8')
  const line = (name: string): string[] =>
    new RegExp(`^${name}:[\\t ]*(.*?) ?$`, 'm').exec(status)?.[1]?.split(/\s+/) ?? []
  const list = ({ real, effective, saved }: thread.Ids): string[] => [real, effective, saved].map(String)
  expect(list(thread.getresuid())).toEqual(line('Uid').slice(0, 3))
  expect(list(thread.getresgid())).toEqual(line('Gid').slice(0, 3))
  expect(thread.getgroups().map(String)).toEqual(line('Groups').filter(Boolean))
  expect(scheduler.sched_getaffinity(0)).toContain(thread.getcpu().cpu)
})

const ids = `
  import { readFileSync, readdirSync } from 'node:fs'
  import * as t from '@pkg/sys/thread'
  const line = (name, path = '/proc/thread-self/status') =>
    new RegExp('^' + name + ':\\\\s*(.*?)\\\\s*$', 'm').exec(readFileSync(path, 'utf8'))[1].split(/\\s+/).join(' ')
  const done = (value) => process.stdout.write(JSON.stringify(value))
`

// As root of this machine: a user namespace of unshare -r maps one id only.
test('setresuid(), setresgid() and setgroups() change this thread, and no other', () => {
  const result = scriptResult(`${ids}
    t.setgroups([5, 7, 4000000000])
    t.setresgid(11, 12, 13)
    const others = readdirSync('/proc/self/task').map(Number).filter((tid) => tid !== process.pid)
    t.setresuid(21, 22, -1)
    done([line('Groups'), line('Gid'), line('Uid'), t.getresuid(), others.length > 0,
      others.every((tid) => line('Uid', '/proc/self/task/' + tid + '/status') === '0 0 0 0')])`)
  expect(result).toEqual([
    '5 7 4000000000',
    '11 12 13 12',
    '21 22 0 22',
    { real: 21, effective: 22, saved: 0 },
    true,
    true,
  ])
})

test('setreuid(), setregid(), setuid(), setgid(), setfsuid() and setfsgid() change what /proc shows', () => {
  const result = scriptResult(`${ids}
    const found = []
    t.setregid(1, 2); found.push(line('Gid'))
    t.setgid(3); found.push(line('Gid'))
    found.push(t.setfsgid(9), t.setfsgid(9)); found.push(line('Gid'))
    found.push(t.setfsuid(7), line('Uid'))
    t.setfsuid(0)
    t.setreuid(-1, 5); found.push(line('Uid'))
    t.setreuid(-1, 0)
    t.setuid(6); found.push(line('Uid'))
    let code; try { t.setuid(0) } catch (error) { code = error.code }
    done([...found, code])`)
  expect(result).toEqual(['1 2 2 2', '3 3 3 3', 3, 9, '3 3 3 9', 0, '0 0 0 7', '0 5 5 5', '6 6 6 6', 'EPERM'])
})

test('tgkill() and tkill() reach a thread', () => {
  const result = scriptResult(`
    import { watchSignals } from '@pkg/sys/signal'
    import { tgkill, tkill } from '@pkg/sys/thread'
    import { gettid } from '@pkg/sys/process'
    const codes = []
    const watch = watchSignals([40], (info) => { codes.push(info.code); if (codes.length === 2) { watch[Symbol.dispose]()
      let code; try { tgkill(process.pid, 0x7ffffffe, 0) } catch (error) { code = error.code }
      process.stdout.write(JSON.stringify([...codes, code])) } })
    tgkill(process.pid, gettid(), 40)
    tkill(gettid(), 40)`)
  // SI_TKILL is −6.
  expect(result).toEqual([-6, -6, 'ESRCH'])
})

test('membarrier() has its commands, and runs those that are registered', () => {
  const query = thread.membarrier(c.MEMBARRIER_CMD_QUERY)
  expect(query & c.MEMBARRIER_CMD_PRIVATE_EXPEDITED).not.toBe(0)
  thread.membarrier(c.MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED)
  expect(thread.membarrier(c.MEMBARRIER_CMD_PRIVATE_EXPEDITED)).toBe(0)
  expect(codeOf(() => thread.membarrier(1 << 30))).toBe('EINVAL')
})
