// The rollback matrix as a table: what goes wrong × when × what the machine is being given. Every combination is a cell
// that runs by its name, or is left out for a reason that is written here.

/** What goes wrong from outside. */
export const faults = [
  'nothing',
  'power cut',
  'kill -9 of the agent',
  'kill -9 of the updater',
  'panic',
  'hang',
] as const
export type Fault = (typeof faults)[number]

/** When. The first four are the phases of an installation as the updater tells them. */
export const phases = [
  'compare',
  'fetch',
  'verify',
  'boot-image',
  'switch',
  'first boot',
  'blessing',
  'second update',
] as const
export type Phase = (typeof phases)[number]

/** What the machine is given, or what is the matter with it all the time. */
export const contents = [
  'a good release',
  'corrupt kernel image',
  'corrupt root',
  'kernel image rotten since its blessing',
  'initramfs rotten since its blessing',
  'root rotten since its blessing',
  'kernel image for another machine',
  'a service fails its health check',
  'PID 1 throws at its start',
  'the kernel panics',
  'stage 1 hangs',
  'full data partition',
  'clock in 2000',
  'clock in 2090',
] as const
export type Content = (typeof contents)[number]

/** One combination. */
export interface Cell {
  readonly fault: Fault
  readonly phase: Phase
  readonly content: Content
}

/** A cell's name: fault, phase and content. */
export function cellName({ fault, phase, content }: Cell): string {
  return `${fault} / ${phase} / ${content}`
}

/** A combination, or all that are alike, that is no cell. */
export interface LeftOut {
  /** Which, for people. */
  readonly what: string
  /** Why. */
  readonly why: string
  /** Whether a combination is meant. */
  fits(cell: Cell): boolean
}

const installPhases: ReadonlySet<Phase> = new Set<Phase>(['compare', 'fetch', 'verify', 'boot-image'])
const rotten: ReadonlySet<Content> = new Set<Content>([
  'kernel image rotten since its blessing',
  'initramfs rotten since its blessing',
  'root rotten since its blessing',
])
const circumstances: ReadonlySet<Content> = new Set<Content>([
  'full data partition',
  'clock in 2000',
  'clock in 2090',
])
const bad: ReadonlySet<Content> = new Set<Content>([
  ...rotten,
  'corrupt kernel image',
  'corrupt root',
  'kernel image for another machine',
  'a service fails its health check',
  'PID 1 throws at its start',
  'the kernel panics',
  'stage 1 hangs',
])

/** Why there are no others; the first that fits is the reason. */
export const leftOut: readonly LeftOut[] = [
  {
    what: 'nothing / any phase but first boot',
    why: 'nothing goes wrong: it is one and the same update, whose first boot has all phases behind it',
    fits: ({ fault, phase }) => fault === 'nothing' && phase !== 'first boot',
  },
  {
    what: 'nothing / first boot / a good release',
    why: 'every other cell ends with it: the next good update',
    fits: ({ fault, content }) => fault === 'nothing' && content === 'a good release',
  },
  {
    what: 'any fault / any phase / rotten since its blessing',
    why: 'a slot that rots is not being updated, tried or blessed; the boot that finds it is the cell of `nothing`',
    fits: ({ fault, content }) => fault !== 'nothing' && rotten.has(content),
  },
  {
    what: 'any fault / a phase of an installation, second update / a bad release',
    why: 'the installer looks at digests and not at what a release will do: the cell of a good release is the same',
    fits: ({ phase, content }) => bad.has(content) && (installPhases.has(phase) || phase === 'second update'),
  },
  {
    what: 'kill -9 of the agent or the updater / switch',
    why: 'PID 1 ends both itself then, the latter by SIGKILL when it does not go',
    fits: ({ fault, phase }) => isKill(fault) && phase === 'switch',
  },
  {
    what: 'kill -9 of the agent or the updater / first boot',
    why: 'neither has been started yet; when they have, it is the phase blessing',
    fits: ({ fault, phase }) => isKill(fault) && phase === 'first boot',
  },
  {
    what: 'any fault / switch, first boot, blessing / a bad release, but a power cut in the first boot of three',
    why:
      'the release takes its tries whatever ends them; that a try is counted before it is begun is what the power ' +
      'cuts show',
    fits: ({ fault, phase, content }) =>
      fault !== 'nothing' && bad.has(content) && !(isCutInTrial(fault, phase) && isLateBad(content)),
  },
  {
    what: 'any fault / any phase / full data partition, clock; but a power cut in fetch and in the first boot',
    why: 'a fault other than the loss of what was written has nothing to do with room or time',
    fits: ({ fault, phase, content }) =>
      circumstances.has(content) &&
      fault !== 'nothing' &&
      !(fault === 'power cut' && (phase === 'fetch' || phase === 'first boot')),
  },
  {
    what: 'power cut / fetch, first boot / clock in 2090',
    why: 'as in 2000: the clock at the next start is set the same way',
    fits: ({ fault, content }) => fault !== 'nothing' && content === 'clock in 2090',
  },
]

/** Combinations that nobody can try on a machine without more hardware; they are no cells of the table. */
export const beyond: readonly Pick<LeftOut, 'what' | 'why'>[] = [
  {
    what: 'rot within the compressed kernel of a kernel image',
    why:
      "the kernel's decompressor halts the processor before any watchdog runs: each try needs somebody to switch the " +
      'machine off and on. Blessing reads the whole image and does not bless it',
  },
  {
    what: 'hang in the firmware or the loader',
    why: 'no watchdog runs yet, unless the firmware has one of its own',
  },
]

function isKill(fault: Fault): boolean {
  return fault === 'kill -9 of the agent' || fault === 'kill -9 of the updater'
}

function isCutInTrial(fault: Fault, phase: Phase): boolean {
  return fault === 'power cut' && phase === 'first boot'
}

/** Bad in a way that gives the power time to fail: its PID 1 runs. */
function isLateBad(content: Content): boolean {
  return content === 'a service fails its health check' || content === 'the kernel panics'
}

/** All combinations. */
export const combinations: readonly Cell[] = contents.flatMap((content) =>
  faults.flatMap((fault) => phases.map((phase) => ({ fault, phase, content }))),
)

/** The combinations that are tried. */
export const cells: readonly Cell[] = combinations.filter((cell) => !leftOut.some(({ fits }) => fits(cell)))

/**
 * That of `npm test`: what fails by itself, and runs far enough to be judged. What cannot be started has
 * `disk.vm.test.ts`, power cuts have `life.vm.test.ts`, killed agents `agent-updates.test.ts`.
 */
export const shortCells: readonly Cell[] = [
  { fault: 'nothing', phase: 'first boot', content: 'a service fails its health check' },
]
