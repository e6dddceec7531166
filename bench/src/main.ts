// `npm run bench`: ratios of Solo against its peers, each measured side by side in one run.
import { loadavg } from 'node:os'
import { parseArgs } from 'node:util'
import { type Contestant, measureInterleaved, startContestant } from './contestant.ts'
import { type Entrant, type Plan, plans } from './plans.ts'
import { overLimit, printJson, printTable, type Row, rowOf } from './report.ts'
import { findCpu } from './workshop.ts'

const planned = Object.keys(plans) as (keyof typeof plans)[]
const groups = [...planned, 'import', 'build', 'boot', 'update', 'vm'] as const
type Group = (typeof groups)[number]

const usage = `Usage: npm run bench -- [--json] [--only ${groups.join('|')}]
                        [--rounds N] [--build-rounds N] [--boot-rounds N] [--update-rounds N]
                        [--vm-rounds N] [--check] [--no-pin]

Measures Solo and its peers in interleaved rounds and prints ratios (ours / peer, of the medians).

  --json           only JSON on standard output: a list of
                   { name, ours, peer, peerName, ratio, unit, interval, rounds }
  --only NAME      one group; may be given several times
  --rounds N       rounds of calls, spawn, reactor and import (default 25, at least 15)
  --build-rounds N rounds of build (default 5)
  --boot-rounds N  rounds of boot (default 5)
  --update-rounds N  rounds of update (default 5)
  --vm-rounds N    rounds of vm (default 20)
  --check          status 1 when a figure is above its limit (for an idle machine)
  --no-pin         let the scheduler place those contestants; else all share one processor
  --help           this text
`

interface Options {
  json: boolean
  only: readonly Group[]
  rounds: number
  buildRounds: number
  bootRounds: number
  updateRounds: number
  vmRounds: number
  check: boolean
  pin: boolean
}

const say = (line: string): void => void process.stderr.write(`${line}\n`)

/** Starts what can be started, and names what cannot. */
function startAll(
  entrants: readonly Entrant[],
  missing: Map<string, string>,
  prefix: readonly string[],
): Contestant[] {
  return entrants.flatMap(({ name, command }) => {
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

async function runPlan(
  group: Group,
  { unit, entrants, pairs }: Plan,
  rounds: number,
  prefix: readonly string[],
): Promise<Row[]> {
  const missing = new Map<string, string>()
  const contestants = await keepWorking(startAll(entrants, missing, prefix), missing)
  for (const [name, reason] of missing) say(`bench: missing: ${name}: ${reason}`)
  try {
    say(`bench: ${group}: warming up`)
    const results = await measureInterleaved(contestants, rounds, (round) => {
      if (round % 5 === 0) say(`bench: ${group}: round ${round + 1} of ${rounds}`)
    })
    return pairs.map(([name, ours, peer, limits]) =>
      rowOf(name, peer, unit, results.get(ours), results.get(peer), limits),
    )
  } finally {
    for (const contestant of contestants) contestant[Symbol.dispose]()
  }
}

/** Runs a group that has a file of its own; when it cannot be measured, it is missing. */
async function runGroup(group: Group, measure: () => Promise<Row[]>): Promise<Row[]> {
  try {
    return await measure()
  } catch (error) {
    say(`bench: missing: ${group}: ${error instanceof Error ? error.message : String(error)}`)
    return [rowOf(group, '', 's', undefined, undefined)]
  }
}

function readOptions(): Options | string {
  const { values } = parseArgs({
    options: {
      json: { type: 'boolean', default: false },
      only: { type: 'string', multiple: true, default: [] },
      rounds: { type: 'string', default: '25' },
      'build-rounds': { type: 'string', default: '5' },
      'boot-rounds': { type: 'string', default: '5' },
      'update-rounds': { type: 'string', default: '5' },
      'vm-rounds': { type: 'string', default: '20' },
      check: { type: 'boolean', default: false },
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
    buildRounds: count('--build-rounds', values['build-rounds'], 1),
    bootRounds: count('--boot-rounds', values['boot-rounds'], 1),
    updateRounds: count('--update-rounds', values['update-rounds'], 1),
    vmRounds: count('--vm-rounds', values['vm-rounds'], 1),
    check: values.check,
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
  for (const group of planned) {
    if (options.only.includes(group)) {
      rows.push(...(await runPlan(group, plans[group](), options.rounds, prefix)))
    }
  }
  // Imported only here: the packages that build an appliance take longer to load than getppid to measure.
  const own: Partial<Record<Group, () => Promise<Row[]>>> = {
    import: async () => (await import('./import.ts')).measureImports(options.rounds, prefix, say),
    build: async () => (await import('./build.ts')).measureBuilds(options.buildRounds, say),
    boot: async () => await (await import('./boot.ts')).measureBoots(options.bootRounds, say),
    update: async () => await (await import('./update.ts')).measureUpdates(options.updateRounds, say),
    vm: async () => await (await import('./vm.ts')).measureVm(options.vmRounds, say),
  }
  for (const group of options.only) {
    const measure = own[group]
    if (measure !== undefined) rows.push(...(await runGroup(group, measure)))
  }
  process.stdout.write(options.json ? printJson(rows) : printTable(rows))
  const over = overLimit(rows)
  for (const line of over) say(`bench: ${line}`)
  return options.check && over.length > 0 ? 1 : 0
}

process.exitCode = await main()
