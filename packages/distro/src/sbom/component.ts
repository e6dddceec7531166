// What the files of an image come from: packages of Debian and of npm, single files, the appliance's own sources.
import type { Pin } from '@pkg/vm/archive'

/** One thing that files come from. */
export interface Component {
  /** What it is: `source` is what the appliance's own folder holds. */
  readonly kind: 'debian' | 'npm' | 'file' | 'source'
  /** Its name where it comes from, such as `libc6`. */
  readonly name: string
  /** Its version there. */
  readonly version?: string
  /** Debian's name of its architecture. */
  readonly architecture?: string
  /** Hash of the package's file, in hexadecimal. */
  readonly sha256?: string
  /** Its package URL, by which scanners know it. */
  readonly purl?: string
}

/** Code names of Debian's suites: the others are Ubuntu's. */
const debianSuites = /^(buster|bullseye|bookworm|trixie|forky|duke|sid|oldstable|stable|testing|unstable)/

/**
 * A package of Debian or Ubuntu.
 *
 * @param suite - key of the pins, such as `bookworm/amd64`
 * @see https://github.com/package-url/purl-spec/blob/main/PURL-TYPES.rst
 */
export function debianComponent({ name, version, architecture, sha256 }: Pin, suite: string): Component {
  const codeName = suite.split('/')[0] as string
  const family = debianSuites.test(codeName) ? 'debian' : 'ubuntu'
  const qualifiers = `arch=${architecture}&distro=${encodeURIComponent(codeName)}`
  const purl = `pkg:deb/${family}/${encodeURIComponent(name)}@${encodeURIComponent(version)}?${qualifiers}`
  return { kind: 'debian', name, version, architecture, sha256, purl }
}

/** A package of npm. */
export function npmComponent(name: string, version: string): Component {
  const path = name.split('/').map(encodeURIComponent).join('/')
  return { kind: 'npm', name, version, purl: `pkg:npm/${path}@${encodeURIComponent(version)}` }
}

/** A file of the user's that is a component of its own, such as a kernel. */
export function fileComponent(name: string, sha256: string): Component {
  return { kind: 'file', name, sha256 }
}

/** What the appliance's folder holds. */
export function sourceComponent(appliance: string, version: string | undefined): Component {
  return { kind: 'source', name: appliance, ...(version === undefined ? {} : { version }) }
}
