// The shape of solo.config.ts. What needs the file system, or two keys at once, is in check.ts.
import { capabilityNames } from '@pkg/init/plan'
import { z } from 'zod'
import { roles } from '../agent/roles.ts'
import type { ApplianceConfig } from '../config.ts'
import { dictionary, flag, integer, list, number, object, oneOf, shown, text } from './expect.ts'
import { signalNames } from './signals.ts'

const name = /^[a-z][a-z0-9-]{0,62}$/
const nameInWords = 'a name of lower-case letters, digits and -, beginning with a letter'
/** HOST_NAME_MAX is 64, gethostname(2); labels as in RFC 1123. */
const hostname =
  /^(?=.{1,64}$)[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)*$/
const absolute = /^\/[^\0]*$/
/** setTimeout's longest delay, 24.8 days. */
const maxTimeMs = 0x7fff_ffff
/** (uid_t) -1 means "leave unchanged" in setresuid(2), so it is no user. */
const maxId = 0xffff_fffe

const port = integer('a TCP port', 1, 65_535)
const timeMs = integer('milliseconds', 0, maxTimeMs)
const path = text('the path of a file, relative to solo.config.ts')

const group = z.union([text(nameInWords, name), integer('a group id', 0, maxId)], {
  error: ({ input }) => `expected the name or the id of a group, got ${shown(input)}`,
})

/** The ways of asking; that it is exactly one of them is checked beside the schema. */
const probe = {
  tcp: object('an object with port', { port }).optional(),
  http: object('an object with port, path and status', {
    port,
    path: text('a path', /^\/[!-~]*$/).optional(),
    status: integer('a status of HTTP', 100, 599).optional(),
  }).optional(),
  command: list('program and arguments', text('text', /^[^\0]*$/, true)).optional(),
}

/** That it is exactly one of the first two is checked beside the schema. */
const hook = (mostMs: number) =>
  object('an object with entry or command', {
    entry: text('the path of a TypeScript file, relative to solo.config.ts').optional(),
    command: list('program and arguments', text('text', /^[^\0]*$/, true)).optional(),
    timeoutMs: integer('milliseconds', 1, mostMs).optional(),
  })

const dataVersion = integer('a version', 1, Number.MAX_SAFE_INTEGER)

const data = object('an object with version and folders', {
  version: dataVersion,
  readableBy: dataVersion.optional(),
  folders: list('paths below /var', text('a path below /var', /^\/var\/[^\0]+$/)),
  migrate: hook(maxTimeMs).optional(),
  keepSnapshot: flag().optional(),
})

const service = object('a service: an object with name and entry or command', {
  name: text(nameInWords, name),
  entry: text('the path of a TypeScript file, relative to solo.config.ts').optional(),
  args: list('arguments', text('text', /^[^\0]*$/, true)).optional(),
  command: list('program and arguments', text('text', /^[^\0]*$/, true)).optional(),
  environment: dictionary('names and texts', /^[A-Za-z_]\w*$/).optional(),
  user: text(nameInWords, name).optional(),
  uid: integer('a user id', 0, maxId).optional(),
  groups: list('names or ids of groups', group).optional(),
  ports: list('TCP ports', port).optional(),
  workingDirectory: text('an absolute path in the image', absolute).optional(),
  restart: oneOf(['always', 'on-failure', 'never']).optional(),
  restartDelayMs: object('an object with initial, max and factor', {
    initial: timeMs.optional(),
    max: timeMs.optional(),
    factor: number('a factor', 1, 100).optional(),
  }).optional(),
  restartLimit: integer('a number of restarts', 0, 1_000_000).optional(),
  stopSignal: oneOf(signalNames).optional(),
  stopTimeoutMs: timeMs.optional(),
  after: list('names of services', text('the name of a service')).optional(),
  ready: z
    .union([
      oneOf(['started']),
      object('an object', { notify: z.literal(true).optional(), ...probe, timeoutMs: timeMs.optional() }),
    ])
    .optional(),
  health: object('an object with tcp, http or command', {
    ...probe,
    intervalMs: timeMs.optional(),
    timeoutMs: timeMs.optional(),
    failures: integer('a number of failures', 1, 1000).optional(),
  }).optional(),
  required: flag().optional(),
  capabilities: list('capabilities', oneOf(capabilityNames)).optional(),
  limits: object('an object with memoryMaxMiB and tasksMax', {
    memoryMaxMiB: integer('memory in MiB', 1, 1_048_576).optional(),
    tasksMax: integer('a number of processes and threads', 1, 4_194_304).optional(),
  }).optional(),
  data: data.optional(),
  beforeUpdate: hook(20_000).optional(),
})

const kernel = object("an object, such as { flavour: 'cloud' }", {
  flavour: oneOf(['cloud', 'generic']).optional(),
  package: text('the name of a package', /^[a-z0-9][a-z0-9+.-]+$/).optional(),
  deb: path.optional(),
  image: path.optional(),
  modules: text('the path of a folder, relative to solo.config.ts').optional(),
})

const file = object('an object with from and to', {
  from: path,
  to: text('an absolute path in the image', absolute),
  mode: integer('permission bits', 0, 0o7777).optional(),
  uid: integer('a user id', 0, maxId).optional(),
})

const user = object('an object with name', {
  name: text(nameInWords, name),
  uid: integer('a user id', 1, maxId).optional(),
  groups: list('names of groups', text(nameInWords, name)).optional(),
  home: text('an absolute path', /^\/[^\0:\n]*$/).optional(),
})

const certificates = object('an object with debian and files', {
  debian: flag().optional(),
  files: list('paths of files, relative to solo.config.ts', path).optional(),
})

const disk = object('an object with espMiB, rootMiB and dataMiB', {
  // FAT32 ends at 2 TiB of 512-byte sectors; nobody needs a hundredth of that.
  espMiB: integer('mebibytes', 34, 16_384).optional(),
  rootMiB: integer('mebibytes', 1, 1_048_576).optional(),
  dataMiB: integer('mebibytes', 16, 16_777_216).optional(),
})

const signers = {
  keys: list('SSH public keys or paths of .pub files', text('an SSH public key or the path of a .pub file')),
  threshold: integer('a number of signers', 1, 64).optional(),
}

const agentKeys = list(
  'SSH public keys, paths of .pub files, or objects with key and role',
  z.union(
    [
      signers.keys.element,
      object('an object with key and role', { key: signers.keys.element, role: oneOf(roles) }),
    ],
    {
      error: ({ input }) =>
        `expected an SSH public key, the path of a .pub file, or { key, role } with a role of ${roles.join(', ')}, got ${shown(input)}`,
    },
  ),
)

const timeOfDay = text('a time of day such as 02:30', /^([01]\d|2[0-3]):[0-5]\d$/)

const updates = object('an object with release', {
  board: text(nameInWords, name).optional(),
  release: object('an object with keys', signers),
  trust: object('an object with keys', signers).optional(),
  trustVersion: integer('the number of a set of keys', 1, 0x7fff_ffff).optional(),
  channel: object('an object with keys and url', {
    ...signers,
    url: text('https://… or oci://host/name', /^(https?:\/\/\S+|oci(\+http)?:\/\/[^/@\s]+\/[^:@\s]+)$/),
    name: text(nameInWords, name).optional(),
    pollMinutes: integer('minutes', 1, 10_080).optional(),
    window: object('an object with from and to', { from: timeOfDay, to: timeOfDay }).optional(),
    restart: flag().optional(),
  }).optional(),
  gate: object('an object with stableMs, timeoutMs, confirm and probes', {
    stableMs: timeMs.optional(),
    timeoutMs: integer('milliseconds', 1, maxTimeMs).optional(),
    confirm: flag().optional(),
    probes: list('probes', object('an object with tcp, http or command', probe)).optional(),
  }).optional(),
})

const folder = object('an object with path', {
  path: text('an absolute path below /var', /^\/var(\/(?!\.{1,2}(\/|$))[^\0/]+)+$/),
  mode: integer('permission bits', 0, 0o7777).optional(),
  user: text(nameInWords, name).optional(),
})

/** A union of zod would hide in which of its branches the mistake is. */
const forward = z.union(
  [port, z.strictObject({ host: z.int().min(0).max(65_535).optional(), guest: z.int().min(1).max(65_535) })],
  {
    error: ({ input }) => {
      const isObject = typeof input === 'object' && input !== null && !Array.isArray(input)
      const found = isObject ? JSON.stringify(input) : shown(input)
      return `expected a TCP port or { host, guest } with ports (host 0: any free one), got ${found}`
    },
  },
)

/** The whole configuration. */
export const applianceSchema: z.ZodType<ApplianceConfig, ApplianceConfig> = object(
  'an object, as defineAppliance returns it',
  {
    name: text(nameInWords, name),
    version: text('a version', /^[\w.+~-]{1,64}$/).optional(),
    release: integer('the number of a release', 1, 0x7fff_ffff).optional(),
    hostname: text('a host name', hostname).optional(),
    architecture: oneOf(['x86_64', 'aarch64']).optional(),
    kernel: kernel.optional(),
    commandLine: list('words', text('one word without white space', /^[^\s\0]+$/)).optional(),
    modules: list('names of kernel modules', text('the name of a kernel module', /^[\w-]+$/)).optional(),
    profile: oneOf(['virtio', 'cloud', 'pc', 'all']).optional(),
    sysctl: dictionary(
      'names below /proc/sys and texts',
      /^(?!.*(^|[./])\.?[./])[\w-][\w./:*-]*$/,
    ).optional(),
    network: object('an object with dhcp', { dhcp: flag().optional() }).optional(),
    services: list('services', service),
    files: list('objects with from and to', file).optional(),
    packages: list('names of packages', text('the name of a package', /^[a-z0-9][a-z0-9+.-]+$/)).optional(),
    folders: list('objects with path', folder).optional(),
    users: list('objects with name', user).optional(),
    groups: list(
      'objects with name',
      object('an object with name', {
        name: text(nameInWords, name),
        gid: integer('a group id', 1, maxId).optional(),
      }),
    ).optional(),
    certificates: certificates.optional(),
    timeZone: text('the name of a time zone', /^[A-Z]\w*([/+-][\w+-]+)*$/).optional(),
    disk: disk.optional(),
    updates: updates.optional(),
    agent: object('an object with keys', { keys: agentKeys, port: port.optional() }).optional(),
    timeServers: list('names or addresses', text('a name or an address', /^[\w.:-]+$/)).optional(),
    sysroot: text('the path of a folder, relative to solo.config.ts').optional(),
    forward: list('ports', forward).optional(),
    machine: object('an object with memoryMiB and cpus', {
      memoryMiB: integer('memory in MiB', 64, 1_048_576).optional(),
      cpus: integer('processors', 1, 255).optional(),
    }).optional(),
    apt: object('an object with suite and sources', {
      suite: text('a code name such as bookworm', /^[a-z][a-z0-9.-]*$/),
      sources: path,
    }).optional(),
    shutdownTimeoutMs: integer('milliseconds', 1, maxTimeMs).optional(),
    allowEmergencyShell: flag().optional(),
  },
) as unknown as z.ZodType<ApplianceConfig, ApplianceConfig>
