// Which distribution the host is: it decides whose kernel package is taken and under which suite it is pinned.
import { arch } from 'node:os'
import type { Architecture } from '../machine.ts'
import { readTextIfThere } from './files.ts'

/** The host's distribution, from os-release(5). */
export interface HostSystem {
  /** `debian`, `ubuntu`…: the first of ID and ID_LIKE that is known here, else ID. */
  readonly family: string
  /** Code name of the release, such as `bookworm`; `unknown` when os-release does not say. */
  readonly suite: string
}

/** Debian's name of an architecture. */
export const debianArchitecture: Readonly<Record<Architecture, string>> = {
  x86_64: 'amd64',
  aarch64: 'arm64',
}

/** The architecture of this machine. */
export function hostArchitecture(): Architecture {
  return arch() === 'arm64' ? 'aarch64' : 'x86_64'
}

/**
 * Reads the host's os-release.
 *
 * @param text - the file's text; default: the host's own
 * @see https://man7.org/linux/man-pages/man5/os-release.5.html
 */
export async function hostSystem(text?: string): Promise<HostSystem> {
  const source =
    text ?? (await readTextIfThere('/etc/os-release')) ?? (await readTextIfThere('/usr/lib/os-release'))
  const fields = new Map<string, string>()
  for (const line of (source ?? '').split('\n')) {
    const match = /^([A-Z_]+)=(['"]?)(.*)\2$/.exec(line.trim())
    if (match !== null) fields.set(match[1] as string, match[3] as string)
  }
  const ids = [fields.get('ID') ?? 'unknown', ...(fields.get('ID_LIKE') ?? '').split(' ')]
  const family = ids.find((id) => id === 'debian' || id === 'ubuntu') ?? (ids[0] as string)
  // Mint and others say whose archive they use; their own code name is in no archive of kernels.
  const suite = fields.get('UBUNTU_CODENAME') ?? fields.get('VERSION_CODENAME') ?? 'unknown'
  return { family, suite }
}
