// The flags of the command, as stricli reads and documents them.
import type { FlagParametersForType } from '@stricli/core'
import type { Flags } from './plan.ts'
import {
  parseCpus,
  parseDisk,
  parseDuration,
  parseForward,
  parseGdb,
  parseKernel,
  parseMemory,
  parsePath,
  parseShare,
  parseVariable,
} from './values.ts'

type SharingFlags = Pick<Flags, 'share' | 'noShare' | 'readOnly' | 'env' | 'shell' | 'tty'>
type MachineFlags = Omit<Flags, keyof SharingFlags>

const sharing: FlagParametersForType<SharingFlags> = {
  shell: {
    kind: 'boolean',
    withNegated: false,
    default: false,
    brief: 'Run your shell instead of a program',
  },
  share: {
    kind: 'parsed',
    parse: parseShare,
    variadic: true,
    optional: true,
    placeholder: 'HOST[:GUEST][:ro]',
    brief: 'Share a further folder, writable unless :ro',
  },
  noShare: {
    kind: 'boolean',
    withNegated: false,
    default: false,
    brief: 'Do not share the current folder: what is changed in it goes with the machine',
  },
  readOnly: {
    kind: 'boolean',
    withNegated: false,
    default: false,
    brief: 'Share the current folder for reading only',
  },
  env: {
    kind: 'parsed',
    parse: parseVariable,
    variadic: true,
    optional: true,
    placeholder: 'NAME[=VALUE]',
    brief: "Set a variable; without a value to the host's",
  },
  tty: {
    kind: 'boolean',
    optional: true,
    brief: 'Give the program a terminal (default: when standard input and output are terminals)',
  },
}

const machine: FlagParametersForType<MachineFlags> = {
  backend: {
    kind: 'enum',
    values: ['auto', 'namespace', 'uml', 'qemu'],
    default: 'qemu',
    brief: 'What the machine runs in',
  },
  kernel: {
    kind: 'parsed',
    parse: parseKernel,
    optional: true,
    placeholder: 'PACKAGE|./FILE',
    brief: "Kernel: a package of the archive or a file (default: the distribution's generic one)",
  },
  modulesFolder: {
    kind: 'parsed',
    parse: parsePath,
    optional: true,
    placeholder: 'DIR',
    brief: 'Modules of a kernel that is a file: .../lib/modules/RELEASE',
  },
  module: {
    kind: 'parsed',
    parse: parsePath,
    variadic: true,
    optional: true,
    placeholder: 'NAME',
    brief: 'Load a kernel module, with those that it needs',
  },
  memory: {
    kind: 'parsed',
    parse: parseMemory,
    optional: true,
    placeholder: 'MIB|SIZE',
    brief: 'Memory in MiB, or as 1G (default: 512)',
  },
  cpus: {
    kind: 'parsed',
    parse: parseCpus,
    optional: true,
    placeholder: 'N',
    brief: 'Processors (default: 2)',
  },
  disk: {
    kind: 'parsed',
    parse: parseDisk,
    variadic: true,
    optional: true,
    placeholder: 'SIZE|FILE[:ro]',
    brief: 'Add a disk: an empty one such as 1G, or an image that is written to unless :ro',
  },
  network: {
    kind: 'enum',
    values: ['none', 'user'],
    optional: true,
    brief: "A card behind QEMU's NAT (default: none, user with --forward or --capture)",
  },
  forward: {
    kind: 'parsed',
    parse: parseForward,
    variadic: true,
    optional: true,
    placeholder: 'HOST:GUEST[/udp]',
    brief: "Lead a port of the host's 127.0.0.1 into the machine; host port 0 takes any free one",
  },
  capture: {
    kind: 'parsed',
    parse: parsePath,
    optional: true,
    placeholder: 'FILE',
    brief: 'Write every packet of the network card to a pcap file',
  },
  gdb: {
    kind: 'parsed',
    parse: parseGdb,
    inferEmpty: true,
    optional: true,
    placeholder: 'PORT|wait',
    brief:
      'Let a debugger attach to the kernel, at any free port or PORT; wait: and let it start the machine',
  },
  arch: {
    kind: 'enum',
    values: ['x86_64', 'aarch64'],
    optional: true,
    brief: "Processor; with another than the host's, programs come from shared folders, not from the host",
  },
  machine: {
    kind: 'enum',
    values: ['q35', 'microvm', 'virt'],
    optional: true,
    brief: 'What QEMU builds (default: q35, for aarch64 virt)',
  },
  snapshot: {
    kind: 'boolean',
    default: true,
    brief: "Restore QEMU's machine as it was when it had booted",
  },
  timeout: {
    kind: 'parsed',
    parse: parseDuration,
    optional: true,
    placeholder: 'TIME',
    brief: 'End the machine after a time such as 60s, 5m, 2h (default: never)',
  },
  console: {
    kind: 'boolean',
    withNegated: false,
    default: false,
    brief: "Show the kernel's console on standard error",
  },
  verbose: {
    kind: 'boolean',
    withNegated: false,
    default: false,
    brief: 'Say what was started and how long it took; stack traces of errors',
  },
}

/** What stricli reads. */
export const flagParameters: FlagParametersForType<Flags> = { ...sharing, ...machine }
