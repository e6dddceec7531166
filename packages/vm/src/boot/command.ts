/** What process backends are given: PID 1 (the agent, unless the user brings an init), its root, its shares. */
import { basename, resolve } from 'node:path'
import type { GuestImage, GuestProgram } from '../guest-image.ts'
import { EMULATED_BUN, GUEST_ENVIRONMENT } from '../guest-image/environment.ts'
import type { Share } from './options.ts'

/** Program and arguments of the agent, reached at `control`. */
export function agentCommand(control: string): [program: string, ...args: string[]] {
  return ['/bin/bun', '/sbin/agent.js', `--control=${control}`]
}

/** All that the agent finds in its environment where its guest is emulated, and the process that runs its functions. */
export const AGENT_ENVIRONMENT: Readonly<Record<string, string>> = {
  ...GUEST_ENVIRONMENT,
  ...EMULATED_BUN,
}

/** What is mounted over in guests: a program that lies there on the host gets another place. */
const MOUNTED_OVER = /^\/(?:dev|host|mnt|proc|run|sys|tmp)\//

/** Where a program of the host that is to be PID 1 lies in the guest: at its own path, if it can be seen there. */
export function initProgram(source: string): GuestProgram {
  return { path: MOUNTED_OVER.test(source) ? `/sbin/${basename(source)}` : source, source }
}

/** The same with its arguments, as the guest's kernel is to execute it. */
export function initCommand(
  init: readonly [program: string, ...args: string[]] | undefined,
): [program: string, ...args: string[]] | undefined {
  if (init === undefined) return undefined
  const [source, ...args] = init
  return [initProgram(source).path, ...args]
}

/** The folder that is the root of a guest whose kernel reads the host's files. */
export function folderOf({ folder }: GuestImage): string {
  if (folder === undefined) throw new TypeError('this image has no folder')
  return folder
}

/** The shares with absolute paths of the host. */
export function resolvedShares(shares: readonly Share[]): Share[] {
  return shares.map(({ host, guest, writable = false }) => ({ host: resolve(host), guest, writable }))
}
