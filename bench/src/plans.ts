// What is compared with what: the groups whose contestants are processes that measure a batch.
import type { Limits, Row } from './report.ts'
import { compileC, contestantFile, tinyChild } from './workshop.ts'

/** A contestant by name: how to start it. The command may throw, with the reason why it cannot be had. */
export interface Entrant {
  name: string
  command: () => [program: string, ...rest: string[]]
}

/** Which of ours is compared with which peers. */
export interface Plan {
  unit: Row['unit']
  entrants: readonly Entrant[]
  pairs: readonly [name: string, ours: string, peer: string, limits?: Limits][]
}

type Command = ReturnType<Entrant['command']>
const bun = (file: string, ...rest: string[]): Command => [process.execPath, contestantFile(file), ...rest]
const node = (file: string, ...rest: string[]): Command => ['node', contestantFile(file), ...rest]

/**
 * One system call again and again: what a call costs beyond what it does. With a second thread in a process the kernel
 * counts who uses a descriptor, by an atomic instruction, and every engine has threads: C is shown in both ways.
 */
function callPlan(name: string, ours: string, limits: Limits, hasOwnOfNode: boolean): Plan {
  const libc = 'libc through bun:ffi'
  const koffi = 'koffi on Node'
  const fs = 'node:fs on Node'
  const entrants: Entrant[] = [
    { name: '@pkg/sys', command: () => bun('calls-sys.ts', name) },
    { name: 'C', command: () => [compileC('calls'), name] },
    { name: 'C with a second thread', command: () => [compileC('calls'), name, 'threads'] },
    { name: libc, command: () => bun('calls-libc.ts', name) },
    { name: koffi, command: () => node('calls-node.mjs', 'koffi', name) },
  ]
  if (hasOwnOfNode) entrants.push({ name: fs, command: () => node('calls-node.mjs', 'fs', name) })
  const peers = entrants.slice(1).map((entrant) => entrant.name)
  return {
    unit: 'ns',
    entrants,
    pairs: peers.map((peer) => [ours, '@pkg/sys', peer, peer === 'C' ? limits : {}]),
  }
}

function spawnPlan(): Plan {
  const child = tinyChild()
  const [waitid, awaited] = ['@pkg/sys, waitid', '@pkg/sys, await'] as const
  return {
    unit: 'µs',
    entrants: [
      { name: waitid, command: () => bun('spawn-sys.ts', 'waitid', child) },
      { name: awaited, command: () => bun('spawn-sys.ts', 'await', child) },
      { name: 'C posix_spawn', command: () => [compileC('spawn'), 'posix_spawn', child] },
      { name: 'C vfork', command: () => [compileC('spawn'), 'vfork', child] },
      { name: 'Bun.spawn', command: () => bun('spawn-bun.ts', child) },
      { name: 'Node child_process', command: () => node('spawn-node.mjs', child) },
    ],
    pairs: [
      ['spawn + waitid', waitid, 'C posix_spawn', { ratioLimit: 1.1 }],
      ['spawn + waitid', waitid, 'C vfork'],
      ['spawn + waitid', waitid, 'Bun.spawn', { ratioLimit: 1 }],
      ['spawn + await wait()', awaited, 'C posix_spawn'],
      ['spawn + await wait()', awaited, 'Bun.spawn', { ratioLimit: 1 }],
      ['spawn + await wait()', awaited, 'Node child_process', { ratioLimit: 1 }],
    ],
  }
}

function reactorPlan(): Plan {
  const waker = compileC('waker')
  const [watch, awaited] = ['watch', 'await'] as const
  const [ring, worker] = ['watch by io_uring', 'watch by a worker'] as const
  return {
    unit: 'µs',
    entrants: [
      { name: watch, command: () => bun('wake-sys.ts', 'watch', 'loop', waker) },
      { name: awaited, command: () => bun('wake-sys.ts', 'await', 'loop', waker) },
      { name: ring, command: () => bun('wake-sys.ts', 'watch', 'io_uring', waker) },
      { name: worker, command: () => bun('wake-sys.ts', 'watch', 'worker', waker) },
      { name: 'C epoll_wait', command: () => [compileC('wake'), waker] },
      { name: 'a socket of Bun’s own', command: () => bun('wake-bun.ts', waker) },
      { name: 'a stream of Node’s own', command: () => node('wake-node.mjs', waker) },
    ],
    pairs: [
      ['wake-up, watch()', watch, 'C epoll_wait', { ratioLimit: 2 }],
      ['wake-up, watch()', watch, 'a socket of Bun’s own'],
      ['wake-up, watch()', watch, 'a stream of Node’s own'],
      ['wake-up, await readable()', awaited, 'C epoll_wait'],
      ['wake-up, await readable()', awaited, 'a stream of Node’s own'],
      ['wake-up by io_uring, watch()', ring, 'C epoll_wait'],
      ['wake-up by a worker, watch()', worker, 'C epoll_wait'],
    ],
  }
}

/** The plans by group. Each is made when its group runs: its programs are built then. */
export const plans = {
  // 1.05 is what is aimed at; the figures of a shared machine scatter by as much again.
  getppid: () => callPlan('getppid', 'getppid', { ratioLimit: 1.1 }, false),
  read: () => callPlan('read', 'read of a byte', { ratioLimit: 1.3 }, true),
  statx: () => callPlan('statx', 'statx into a reused buffer', { ratioLimit: 1.3 }, true),
  spawn: spawnPlan,
  reactor: reactorPlan,
} satisfies Record<string, () => Plan>
