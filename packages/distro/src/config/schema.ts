// The shape of solo.config.ts. What needs the file system, or two keys at once, is in check.ts.
import { z } from 'zod'
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

const service = object('a service: an object with name and entry or command', {
  name: text(nameInWords, name),
  entry: text('the path of a TypeScript file, relative to solo.config.ts').optional(),
  command: list('program and arguments', text('text', /^[^\0]*$/, true)).optional(),
  environment: dictionary('names and texts', /^[A-Za-z_]\w*$/).optional(),
  user: text(nameInWords, name).optional(),
  uid: integer('a user id', 0, maxId).optional(),
  groups: list('group ids', integer('a group id', 0, maxId)).optional(),
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
    hostname: text('a host name', hostname).optional(),
    architecture: oneOf(['x86_64', 'aarch64']).optional(),
    kernel: kernel.optional(),
    commandLine: list('words', text('one word without white space', /^[^\s\0]+$/)).optional(),
    modules: list('names of kernel modules', text('the name of a kernel module', /^[\w-]+$/)).optional(),
    sysctl: dictionary(
      'names below /proc/sys and texts',
      /^(?!.*(^|[./])\.?[./])[\w-][\w./:*-]*$/,
    ).optional(),
    network: object('an object with dhcp', { dhcp: flag().optional() }).optional(),
    services: list('services', service),
    files: list('objects with from and to', file).optional(),
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
