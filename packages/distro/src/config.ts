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
  /** Supplementary group ids. */
  groups?: number[]
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
  /** Services that are started before it; `network-online` waits for the network. */
  after?: string[]
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
