// `npm run bench`: ratios of Solo against its peers, each measured side by side in one run.
import { loadavg } from 'node:os'
import { parseArgs } from 'node:util'
import { type Contestant, measureInterleaved, startContestant } from './contestant.ts'
import { printJson, printTable, type Row, rowOf } from './report.ts'
import { compileC, contestantFile, findCpu, tinyChild } from './workshop.ts'

const usage = `Usage: npm run bench -- [--json] [--only getppid|spawn|boot] [--rounds N]
                        [--boot-rounds N] [--no-pin]

Measures Solo and its peers in interleaved rounds and prints ratios (ours / peer, of the medians).

  --json           only JSON on standard output: [{ name, ours, peer, peerName, ratio, unit }]
  --only NAME      one group: getppid, spawn or boot; may be given several times
  --rounds N       rounds of getppid and spawn (default 25, at least 15)
  --boot-rounds N  rounds of boot (default 15)
  --no-pin         let the scheduler place getppid's and spawn's contestants; else all share one processor
  --help           this text
`

const groups = ['getppid', 'spawn', 'boot'] as const
type Group = (typeof groups)[number]

interface Options {
  json: boolean
  only: readonly Group[]
  rounds: number
  bootRounds: number
  pin: boolean
}

/** A peer of a group: how to start it, or why it cannot be had. */
interface Peer {
  name: string
  command: () => [program: string, ...rest: string[]]
}

const say = (line: string): void => void process.stderr.write(`${line}\n`)

/** Starts what can be started, and names what cannot. */
function startPeers(
  peers: readonly Peer[],
  missing: Map<string, string>,
  prefix: readonly string[],
): Contestant[] {
  return peers.flatMap(({ name, command }) => {
    try {
      const [program, ...rest] = [...prefix, ...command()]
      return program === undefined ? [] : [startContestant({ name, command: [program, ...rest] })]
    } catch (error) {
      missing.set(name, error instanceof Error ? error.message : String(error))
      return []
    }
  })
}

/** Tries each contestant once: one that cannot run is missing, not a failure of the bench. */
async function keepWorking(
  contestants: readonly Contestant[],
  missing: Map<string, string>,
): Promise<Contestant[]> {
  const working: Contestant[] = []
  for (const contestant of contestants) {
    try {
      await contestant.measure()
      working.push(contestant)
    } catch (error) {
      missing.set(contestant.name, error instanceof Error ? error.message : String(error))
      contestant[Symbol.dispose]()
    }
  }
  return working
}

/** Which of ours is compared with which peers. */
interface Plan {
  group: Group
  unit: 'ns' | 'µs' | 's'
  contestants: readonly Peer[]
  pairs: readonly [name: string, ours: string, peer: string][]
}

async function runPlan(plan: Plan, rounds: number, prefix: readonly string[]): Promise<Row[]> {
  const missing = new Map<string, string>()
  const contestants = await keepWorking(startPeers(plan.contestants, missing, prefix), missing)
  for (const [name, reason] of missing) say(`bench: missing: ${name}: ${reason}`)
  try {
    say(`bench: ${plan.group}: warming up`)
    const results = await measureInterleaved(contestants, rounds, (round) => {
      if (round % 5 === 0) say(`bench: ${plan.group}: round ${round + 1} of ${rounds}`)
    })
    return plan.pairs.map(([name, ours, peer]) =>
      rowOf(name, peer, plan.unit, results.get(ours), results.get(peer)),
    )
  } finally {
    for (const contestant of contestants) contestant[Symbol.dispose]()
  }
}

const bun = (file: string, ...rest: string[]): [string, ...string[]] => [
  process.execPath,
  contestantFile(file),
  ...rest,
]
const node = (file: string, ...rest: string[]): [string, ...string[]] => [
  'node',
  contestantFile(file),
  ...rest,
]

const getppidPlan: Plan = {
  group: 'getppid',
  unit: 'ns',
  contestants: [
    { name: '@pkg/sys', command: () => bun('getppid-sys.ts') },
    { name: 'C', command: () => [compileC('getppid')] },
    { name: 'libc through bun:ffi', command: () => bun('getppid-libc.ts') },
    { name: 'koffi on Node', command: () => node('getppid-koffi.mjs') },
  ],
  pairs: ['C', 'libc through bun:ffi', 'koffi on Node'].map((peer) => ['getppid', '@pkg/sys', peer] as const),
}

function spawnPlan(): Plan {
  const child = tinyChild()
  const [waitid, awaited] = ['@pkg/sys, waitid', '@pkg/sys, await'] as const
  return {
    group: 'spawn',
    unit: 'µs',
    contestants: [
      { name: waitid, command: () => bun('spawn-sys.ts', 'waitid', child) },
      { name: awaited, command: () => bun('spawn-sys.ts', 'await', child) },
      { name: 'C posix_spawn', command: () => [compileC('spawn'), 'posix_spawn', child] },
      { name: 'C vfork', command: () => [compileC('spawn'), 'vfork', child] },
      { name: 'Bun.spawn', command: () => bun('spawn-bun.ts', child) },
      { name: 'Node child_process', command: () => node('spawn-node.mjs', child) },
    ],
    pairs: [
      ['spawn + waitid', waitid, 'C posix_spawn'],
      ['spawn + waitid', waitid, 'C vfork'],
      ['spawn + waitid', waitid, 'Bun.spawn'],
      ['spawn + await wait()', awaited, 'C posix_spawn'],
      ['spawn + await wait()', awaited, 'Bun.spawn'],
      ['spawn + await wait()', awaited, 'Node child_process'],
    ],
  }
}

async function runBoot(rounds: number): Promise<Row[]> {
  const peerName = 'busybox, same kernel'
  const name = 'QEMU start to page'
  const results: [ours: number[], floor: number[]] = [[], []]
  try {
    // Only here: the packages that build an appliance take longer to load than getppid to measure.
    const { bootContestants, measureBoot } = await import('./boot.ts')
    say('bench: boot: building')
    const contestants = await bootContestants()
    // The first round warms the host's page cache, and is not counted.
    for (let round = 0; round <= rounds; round++) {
      say(round === 0 ? 'bench: boot: warming up' : `bench: boot: round ${round} of ${rounds}`)
      for (const turn of round % 2 === 0 ? ([0, 1] as const) : ([1, 0] as const)) {
        const bootNs = await measureBoot(contestants[turn])
        if (round > 0) results[turn].push(bootNs)
      }
    }
    return [rowOf(name, peerName, 's', ...results)]
  } catch (error) {
    say(`bench: missing: boot: ${error instanceof Error ? error.message : String(error)}`)
    return [rowOf(name, peerName, 's', undefined, undefined)]
  }
}

function readOptions(): Options | string {
  const { values } = parseArgs({
    options: {
      json: { type: 'boolean', default: false },
      only: { type: 'string', multiple: true, default: [] },
      rounds: { type: 'string', default: '25' },
      'boot-rounds': { type: 'string', default: '15' },
      'no-pin': { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  })
  if (values.help) return usage
  const only = values.only.map((name) => groups.find((group) => group === name) ?? refuse(`--only: ${name}`))
  const count = (name: string, text: string, least: number): number =>
    /^\d+$/.test(text) && Number(text) >= least
      ? Number(text)
      : refuse(`${name}: expected a number from ${least} on`)
  return {
    json: values.json,
    only: only.length === 0 ? groups : only,
    rounds: count('--rounds', values.rounds, 15),
    bootRounds: count('--boot-rounds', values['boot-rounds'], 1),
    pin: !values['no-pin'],
  }
}

function refuse(problem: string): never {
  throw new TypeError(problem)
}

async function main(): Promise<number> {
  let options: Options | string
  try {
    options = readOptions()
  } catch (error) {
    say(`bench: ${error instanceof Error ? error.message : String(error)}\n\n${usage}`)
    return 2
  }
  if (typeof options === 'string') {
    process.stdout.write(options)
    return 0
  }
  const [load = 0] = loadavg()
  if (load > 0.5) say(`bench: the machine is busy (load ${load.toFixed(1)}): the figures will scatter`)
  const cpu = options.pin ? findCpu() : undefined
  if (options.pin && cpu === undefined) say('bench: not pinned: there is one processor, or no taskset')
  const prefix = cpu === undefined ? [] : ['taskset', '-c', String(cpu)]
  const rows: Row[] = []
  if (options.only.includes('getppid')) rows.push(...(await runPlan(getppidPlan, options.rounds, prefix)))
  if (options.only.includes('spawn')) rows.push(...(await runPlan(spawnPlan(), options.rounds, prefix)))
  if (options.only.includes('boot')) rows.push(...(await runBoot(options.bootRounds)))
  process.stdout.write(options.json ? printJson(rows) : printTable(rows))
  return 0
}

process.exitCode = await main()
