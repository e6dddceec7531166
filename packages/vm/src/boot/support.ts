/**
 * What each backend can do, as one table: an option (or a word of `needs`) that a backend cannot give has its reason
 * here. Nothing is started to find out.
 */
import type { Objection } from '../errors.ts'
import type { Architecture, Backend } from '../machine.ts'
import type { BootOptions, Need } from './options.ts'

type Reasons = Partial<Record<Backend, string>>

const SHARED_KERNEL = "a namespace runs on the host's own kernel; 'uml' and 'qemu' bring one"
const ONLY_QEMU = "only 'qemu' has it"

/** A need that no option expresses. Without an entry a backend can give it. */
const NEEDS: Readonly<Record<Need, Reasons>> = {
  kernel: { namespace: SHARED_KERNEL },
  modules: { namespace: SHARED_KERNEL },
  clock: { namespace: "the clock is the host's; 'uml' and 'qemu' have their own" },
  'block-devices': { namespace: "block devices are the host's; 'uml' and 'qemu' have their own" },
  reboot: {},
  'hot-plug': { namespace: ONLY_QEMU, uml: ONLY_QEMU },
  nmi: { namespace: ONLY_QEMU, uml: ONLY_QEMU },
  smp: {
    namespace: "processors are the host's; 'qemu' has its own",
    uml: "User Mode Linux has one processor; 'qemu' has more",
  },
}

/** See uml/options.ts. */
const UML_DISKS = 8

/** An option, when it is set so that not every backend can give it. */
interface Rule {
  readonly feature: keyof BootOptions
  readonly applies: (options: BootOptions, host: Architecture) => boolean
  readonly reasons: Reasons
}

const onlyQemu: Reasons = { namespace: ONLY_QEMU, uml: ONLY_QEMU }

const given =
  (feature: keyof BootOptions): Rule['applies'] =>
  (options) =>
    options[feature] !== undefined

const RULES: readonly Rule[] = [
  {
    feature: 'architecture',
    applies: ({ architecture }, host) => architecture !== undefined && architecture !== host,
    reasons: {
      namespace: "the processor is the host's; 'qemu' emulates others",
      uml: "the processor is the host's; 'qemu' emulates others",
    },
  },
  {
    feature: 'root',
    applies: ({ root, architecture }, host) => root === 'host' && (architecture ?? host) !== host,
    reasons: { qemu: "the host's programs are for another processor than the guest's" },
  },
  {
    feature: 'kernel',
    applies: given('kernel'),
    reasons: {
      namespace: SHARED_KERNEL,
      uml: "the kernel is the linux.uml program (option `uml`); 'qemu' boots others",
    },
  },
  { feature: 'append', applies: given('append'), reasons: { namespace: SHARED_KERNEL } },
  { feature: 'modules', applies: given('modules'), reasons: { namespace: SHARED_KERNEL } },
  {
    feature: 'memoryMiB',
    applies: given('memoryMiB'),
    reasons: { namespace: "memory is the host's; 'uml' and 'qemu' have their own" },
  },
  {
    feature: 'cpus',
    applies: ({ cpus }) => cpus !== undefined,
    reasons: { namespace: "processors are the host's; 'qemu' has its own" },
  },
  { feature: 'cpus', applies: ({ cpus = 1 }) => cpus > 1, reasons: { uml: NEEDS.smp.uml ?? '' } },
  {
    feature: 'disks',
    applies: ({ disks = [] }) => disks.length > 0,
    reasons: { namespace: NEEDS['block-devices'].namespace ?? '' },
  },
  {
    feature: 'disks',
    applies: ({ disks = [] }) =>
      disks.some(({ nbd, throttle }) => nbd !== undefined || throttle !== undefined),
    reasons: { uml: `NBD and throttled disks: ${ONLY_QEMU}` },
  },
  {
    feature: 'disks',
    applies: ({ disks = [] }) => disks.some(({ format = 'raw' }) => format !== 'raw'),
    reasons: { uml: "User Mode Linux would show the guest the qcow2 file itself; 'qemu' reads it" },
  },
  {
    feature: 'disks',
    applies: ({ disks = [] }) => disks.length > UML_DISKS,
    reasons: { uml: `User Mode Linux has ${UML_DISKS} disks at most; 'qemu' has more` },
  },
  {
    feature: 'networks',
    applies: ({ networks = [] }) => networks.length > 0,
    reasons: {
      namespace: "a namespace has its loopback only; 'qemu' has network cards",
      uml: "User Mode Linux has its loopback only here; 'qemu' has network cards",
    },
  },
  { feature: 'balloon', applies: ({ balloon = false }) => balloon, reasons: onlyQemu },
  { feature: 'machine', applies: given('machine'), reasons: onlyQemu },
  { feature: 'initrd', applies: given('initrd'), reasons: onlyQemu },
  { feature: 'accelerator', applies: given('accelerator'), reasons: onlyQemu },
  { feature: 'snapshot', applies: ({ snapshot = false }) => snapshot !== false, reasons: onlyQemu },
  { feature: 'gdb', applies: given('gdb'), reasons: onlyQemu },
  { feature: 'qemuArguments', applies: given('qemuArguments'), reasons: onlyQemu },
]

/** Backends in the order in which `'auto'` tries them: the cheapest first. */
export const CHEAPEST_FIRST: readonly Backend[] = ['namespace', 'uml', 'qemu']

/** Everything in `options` that `backend` cannot give on a host of architecture `host`. */
export function objections(options: BootOptions, backend: Backend, host: Architecture): Objection[] {
  const found: Objection[] = []
  for (const { feature, applies, reasons } of RULES) {
    const reason = reasons[backend]
    if (reason !== undefined && applies(options, host)) found.push({ backend, feature, reason })
  }
  for (const need of options.needs ?? []) {
    const reason = NEEDS[need][backend]
    if (reason !== undefined) found.push({ backend, feature: `needs '${need}'`, reason })
  }
  if (backend === 'uml' && host !== 'x86_64')
    found.push({ backend, feature: 'uml', reason: 'User Mode Linux runs on x86-64 hosts only' })
  return found
}

/** The words of {@link BootOptions.needs}. */
export const NEED_WORDS: readonly string[] = Object.keys(NEEDS)
