/**
 * `solo.config.ts`: what an appliance is, fully typed, and checked as a whole before anything is built. Every
 * mistake is reported at once, by file and path of the key, and values that may be secret are not repeated.
 */
import { z } from 'zod'
import { applianceSchema } from './config/schema.ts'

/** When a service that has ended is started again. */
export type RestartPolicy = 'always' | 'on-failure' | 'never'

/** One service: a TypeScript file that is bundled, or a program of the image. Exactly one of the two. */
export interface ServiceConfig {
  /** Lower-case letters, digits and `-`, beginning with a letter; also the name of its cgroup and its log lines. */
  name: string
  /** TypeScript or JavaScript file that is bundled and run by Bun, relative to solo.config.ts. */
  entry?: string
  /** Arguments of `entry`. */
  args?: string[]
  /** Program and arguments; the program is an absolute path in the image. */
  command?: string[]
  /** Environment besides PATH and HOME. `PORT` is set to the first of `ports` unless it is here. */
  environment?: Record<string, string>
  /**
   * The user it runs as: a name of its own for a shared user, `root` when it has to be. Default: a user of its
   * own with the service's name.
   */
  user?: string
  /** User and group id. Default: from a hash of the user's name, 61184 to 65519; 0 for `root`. */
  uid?: number
  /** Groups besides its user's own: names of `groups` or of users, or ids. */
  groups?: (string | number)[]
  /** TCP ports it listens on; `solo run` forwards them. */
  ports?: number[]
  /** Folder it starts in. Default: `/`. */
  workingDirectory?: string
  /** Default: `always`. */
  restart?: RestartPolicy
  /** Delay before it is started again, in milliseconds. Default: 100 growing by 2 up to 30 000. */
  restartDelayMs?: { initial?: number; max?: number; factor?: number }
  /** Give up after so many ends in a row without a stable run. Default: 0, never. */
  restartLimit?: number
  /** Signal that asks it to stop. Default: `SIGTERM`. */
  stopSignal?: string
  /** How long it may take to stop before it is killed, in milliseconds. Default: 10 000. */
  stopTimeoutMs?: number
  /** Services that are ready before it is started; `network-online` waits for the network. */
  after?: string[]
  /** When it counts as ready. Default: `started`, as soon as its process runs. */
  ready?: 'started' | ReadyConfig
  /** How its health is probed while it runs. Default: not at all. */
  health?: HealthConfig
  /** Whether the machine is not well without it: a release on trial is given up when it fails. Default: true. */
  required?: boolean
  /** Capabilities that it may have, such as `CAP_NET_ADMIN`. Default: all for root, none for others. */
  capabilities?: string[]
  /** What it may take of the machine, with all that it starts. Default: no limits. */
  limits?: LimitsConfig
  /** The format of its data below /var: so that a release can change it, and a way back finds the old one. */
  data?: DataConfig
  /**
   * Runs as the service's user while the service does, before a restart into another release that was asked for over the
   * network: to write down what is in memory, or to refuse by another status than 0. Finds that release's version in
   * `SOLO_UPDATE_TO`. Has 10 seconds, and at most 20. A rollback asks nobody.
   */
  beforeUpdate?: HookConfig
}

/** Limits of a service, which the kernel holds by its control group. */
export interface LimitsConfig {
  /** Memory in MiB, with what is cached for it. A service that needs more is killed whole, and started again. */
  memoryMaxMiB?: number
  /** Processes and threads; no more are started. Bun has a dozen threads of its own. */
  tasksMax?: number
}

/** What a service says of its data. One that says nothing is taken for version 1. */
export interface DataConfig {
  /** The version of the format that this code writes. */
  version: number
  /**
   * The least version whose code can still work with what this code writes. Default: `version`. Where that is not above
   * what a device has, no snapshot is made, and the migration has to bear being run again.
   */
  readableBy?: number
  /** The folders below /var that hold it, each in `folders` or below one: all that service and migration write. */
  folders: string[]
  /**
   * Brings data of an older version to this one, as the service's user and before any service is started; finds the
   * versions in `SOLO_DATA_FROM` and `SOLO_DATA_TO`. Has 300 seconds. Default: the service does so itself, at its start.
   */
  migrate?: HookConfig
  /** Whether the snapshot stays after the blessing, until the next migration. Default: true. */
  keepSnapshot?: boolean
}

/** What is run at a certain time: a TypeScript file that is bundled, or a program of the image. Exactly one of the two. */
export interface HookConfig {
  /** TypeScript or JavaScript file that is bundled and run by Bun, relative to solo.config.ts. */
  entry?: string
  /** Program and arguments; the program is an absolute path in the image. */
  command?: string[]
  /** It is killed, and has failed, after this time, in milliseconds. */
  timeoutMs?: number
}

/** A question that is asked of a service from outside; exactly one of the three. */
export interface ProbeConfig {
  /** A port on 127.0.0.1 that has to accept a connection. */
  tcp?: { port: number }
  /** A page on 127.0.0.1 that has to be answered, by default `/` with status 200; without TLS. */
  http?: { port: number; path?: string; status?: number }
  /** A program of the image, with its arguments, that has to end with status 0. */
  command?: string[]
}

/** How a service shows that it is ready: it says so, or a probe finds out; exactly one of the four. */
export interface ReadyConfig extends ProbeConfig {
  /** It says so itself, by `READY=1` of sd_notify(3). */
  notify?: true
  /** It is started again when it is not ready after this time, in milliseconds. Default: 90 000. */
  timeoutMs?: number
}

/** How the health of a service is probed. */
export interface HealthConfig extends ProbeConfig {
  /** Time between two questions, in milliseconds. Default: 10 000. */
  intervalMs?: number
  /** How long an answer may take, in milliseconds. Default: 5000. */
  timeoutMs?: number
  /** It is started again after so many bad answers in a row. Default: 3. */
  failures?: number
}

/** Who has to sign. */
export interface SignersConfig {
  /** SSH public keys (Ed25519, also of hardware tokens): lines of a .pub file, or paths of such files. */
  keys: string[]
  /** How many different ones have to sign. Default: 1. */
  threshold?: number
}

/** Where devices look for releases by themselves, and who says which one they take. */
export interface ChannelConfig extends SignersConfig {
  /** A folder on a web server, `https://…`, or a repository of a registry, `oci://host/name` (`oci+http://` without TLS). */
  url: string
  /** Name of the channel. Default: `stable`. */
  name?: string
  /** How often a device looks, in minutes, up to 10 080: a week. Default: 60. */
  pollMinutes?: number
  /** When a device may begin, each day, in UTC as `02:30`; may pass midnight. Default: always. */
  window?: { from: string; to: string }
  /** Whether a device restarts into a release as soon as it is installed. Default: true; else with its next restart. */
  restart?: boolean
}

/** What a new release has to show before it is kept. */
export interface GateConfig {
  /** For so long all required services have to be ready and healthy, in milliseconds. Default: 10 000. */
  stableMs?: number
  /** A release that has not passed after this time is given up, in milliseconds. Default: 120 000. */
  timeoutMs?: number
  /** Whether `solo commit` has to confirm it besides. Default: false. */
  confirm?: boolean
  /** What has to succeed besides. */
  probes?: ProbeConfig[]
}

/** Updates that the appliance takes. */
export interface UpdatesConfig {
  /** The kind of machine; releases for others are refused. Default: `generic`. */
  board?: string
  /** Who signs releases. */
  release: SignersConfig
  /** Who signs newer sets of keys. Default: who signs releases. */
  trust?: SignersConfig
  /** Counts the sets of keys; raise it when they change. Default: 1. */
  trustVersion?: number
  /** A channel to follow. Default: none, releases are pushed or come on a stick. */
  channel?: ChannelConfig
  /** The trial of a new release. */
  gate?: GateConfig
}

/** The device's agent: its API over HTTPS, which the `solo` command speaks. */
export interface AgentConfig {
  /**
   * SSH public keys (Ed25519) of those who may log in: lines of a .pub file, or paths of such files. Whoever has one may
   * do everything, unless it is given with a role.
   */
  keys: (string | AgentKeyConfig)[]
  /** TCP port. Default: 8443. */
  port?: number
}

/** A key that may log in, and what for. */
export interface AgentKeyConfig {
  /** The key, or the path of its .pub file. */
  key: string
  /**
   * `observe` sees the status; `update` also brings releases, confirms one or goes back, and restarts; `admin` also resets
   * the device, and powers it off.
   */
  role: 'observe' | 'update' | 'admin'
}

/** Where the kernel comes from; at most one of `flavour`, `package`, `deb` and `image`. */
export interface KernelConfig {
  /** `cloud` (default) for virtual machines; `generic` has the drivers of real machines. */
  flavour?: 'cloud' | 'generic'
  /** A kernel package of the archive by name, such as `linux-image-rt-amd64`. */
  package?: string
  /** A .deb file of a kernel, relative to solo.config.ts. */
  deb?: string
  /** A kernel image, relative to solo.config.ts. */
  image?: string
  /** With `image`: the folder of its modules, `…/lib/modules/<release>`. */
  modules?: string
}

/** A file that is put into the image. */
export interface FileConfig {
  /** File or folder of the host, relative to solo.config.ts. A dynamic ELF program brings its libraries. */
  from: string
  /** Absolute path in the image. */
  to: string
  /** Permission bits, such as 0o600. Default: 0755 when the file is executable, else 0644. */
  mode?: number
  /** Owner and group in the image. Default: 0. */
  uid?: number
}

/** The disk of `solo build --format disk`. Sizes in MiB; what is left out follows from the contents. */
export interface DiskConfig {
  /** The partition that firmware reads: room for three kernel images, and at least 34. */
  espMiB?: number
  /** Each of the two roots. They keep this size for the life of a disk. Default: half as much again as the root needs. */
  rootMiB?: number
  /** The data partition in the image, at least 16. On a larger disk it grows at boot. Default: 64. */
  dataMiB?: number
}

/** A folder below /var that a service needs, made at boot if it is not there. */
export interface FolderConfig {
  /** Absolute path below /var. */
  path: string
  /** Permission bits. Default: 0o750. */
  mode?: number
  /** The user that it belongs to: one of `users`, the name of a service or its `user`. Default: `root`. */
  user?: string
}

/** A user beside those of the services; it has a group of the same name and number. Nobody can log in. */
export interface UserConfig {
  /** Lower-case letters, digits and `-`, beginning with a letter. */
  name: string
  /** User and group id. Default: from a hash of the name, 61184 to 65519. */
  uid?: number
  /** Groups that it is in besides its own, by the names of `groups` or of users. */
  groups?: string[]
  /** Its home, which is not made. Default: `/`. */
  home?: string
}

/** A group that is no user's own. */
export interface GroupConfig {
  /** Lower-case letters, digits and `-`, beginning with a letter. */
  name: string
  /** Its id. Default: from a hash of the name, 61184 to 65519. */
  gid?: number
}

/** Authorities whose certificates programs trust. */
export interface CertificatesConfig {
  /** Those of Debian's package ca-certificates, which are Mozilla's. Default: true. */
  debian?: boolean
  /** Further ones: files in PEM, relative to solo.config.ts. Services in TypeScript trust them too. */
  files?: string[]
}

/** A port of this machine that `solo run` forwards to one of the guest. */
export interface ForwardConfig {
  /** Port of this machine, 0 for any that is free. Default: the guest's. */
  host?: number
  /** Port of the guest. */
  guest: number
}

/** An appliance: the default export of `solo.config.ts`. */
export interface ApplianceConfig {
  /** Name of the appliance: lower-case letters, digits and `-`. */
  name: string
  /** Version of the appliance, as people call it. */
  version?: string
  /** Counts releases: the one with the larger number is newer, and is booted first. Default: 1. */
  release?: number
  /** Host name. Default: the name. */
  hostname?: string
  /** Architecture of the target. Default: that of this machine. */
  architecture?: 'x86_64' | 'aarch64'
  /** The kernel. Default: `{ flavour: 'cloud' }`. */
  kernel?: KernelConfig
  /** Further words of the kernel's command line. */
  commandLine?: string[]
  /** Kernel modules to load at boot, in this order; besides those that devices ask for. */
  modules?: string[]
  /**
   * Which machines the image has drivers for, as far as the kernel has them: `virtio` QEMU, KVM and the like; `cloud`
   * those and other clouds; `pc` those of `virtio` and PCs; `all`. Default: `all`.
   */
  profile?: 'virtio' | 'cloud' | 'pc' | 'all'
  /** Kernel settings by their names below /proc/sys, such as `net.ipv4.ip_forward`. */
  sysctl?: Record<string, string>
  /** Network. */
  network?: {
    /** Ask for an address by DHCP. Default: true. */
    dhcp?: boolean
  }
  /** The services. */
  services: ServiceConfig[]
  /** Files to put into the image. */
  files?: FileConfig[]
  /**
   * Debian packages, with what they depend on. Their scripts are not run: users, folders below /var and the like are
   * declared here. A file of `files` takes the place of a package's.
   */
  packages?: string[]
  /** Folders below /var. */
  folders?: FolderConfig[]
  /** Users beside those of the services. */
  users?: UserConfig[]
  /** Groups beside those of the users. */
  groups?: GroupConfig[]
  /** Certificates in /etc/ssl/certs/ca-certificates.crt. Default: no such file; Bun has Mozilla's of its own. */
  certificates?: CertificatesConfig
  /** Local time, such as `Europe/Berlin`, from Debian's package tzdata. Default: UTC. */
  timeZone?: string
  /** The disk. */
  disk?: DiskConfig
  /** Updates. Default: the appliance takes none. */
  updates?: UpdatesConfig
  /** The device's agent. Default: there is none. */
  agent?: AgentConfig
  /** Time servers, by name or address; those that DHCP names are asked first. Default: none. */
  timeServers?: string[]
  /**
   * Folder that plays a root, where glibc and the libraries of programs in `files` are looked for. Default: glibc
   * from the archive's package, pinned, and all else from this machine's root.
   */
  sysroot?: string
  /** Ports that `solo run` forwards. Default: the ports of the services. */
  forward?: (number | ForwardConfig)[]
  /** The machine that `solo run` starts. */
  machine?: {
    /** Memory in MiB. Default: 512. */
    memoryMiB?: number
    /** Processors. Default: 2. */
    cpus?: number
  }
  /** Packages from other sources than this machine's own. */
  apt?: {
    /** Code name that the pins in solo.lock are filed under, such as `bookworm`. */
    suite: string
    /** Sources file (`.sources` or `.list`), relative to solo.config.ts. */
    sources: string
  }
  /** Bound of an orderly shutdown, in milliseconds. Default: 30 000. */
  shutdownTimeoutMs?: number
  /** Offer a shell on the console when the boot cannot go on. Default: false. */
  allowEmergencyShell?: boolean
}

/**
 * Gives `solo.config.ts` its types; returns what it was given. The checks are made by the `solo` command, all
 * at once and with the file's name.
 *
 * @example
 * ```ts
 * import { defineAppliance } from '@pkg/distro/config'
 *
 * export default defineAppliance({
 *   name: 'hello',
 *   services: [{ name: 'web', entry: './src/server.ts', ports: [8080] }],
 * })
 * ```
 */
export function defineAppliance(config: ApplianceConfig): ApplianceConfig {
  return config
}

/**
 * The JSON Schema (draft 2020-12) of the configuration, for editors and other programs.
 *
 * @example
 * ```ts
 * import { jsonSchema } from '@pkg/distro/config'
 *
 * const { required } = jsonSchema()
 * console.log(required) // [ 'name', 'services' ]
 * ```
 */
export function jsonSchema(): Record<string, unknown> {
  return z.toJSONSchema(applianceSchema) as Record<string, unknown>
}
