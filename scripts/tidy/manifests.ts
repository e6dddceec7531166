/** What package.json files promise: plain version ranges, a licence, nothing from npm inside PID 1. */
import type { Source, Violation } from './sources.ts'

interface Manifest {
  name: string
  version: string
  license?: string
  private?: boolean
  dependencies?: Record<string, string>
  peerDependencies?: Record<string, string>
}

/** Packages that run inside PID 1. */
const withoutNpm = new Set(['@pkg/sys', '@pkg/mount', '@pkg/net', '@pkg/init'])

/**
 * Ranges between our packages are plain and match the present version (changesets publishes `workspace:*`
 * verbatim), versions of others are exact, and what runs in PID 1 depends on nothing from npm.
 */
export function checkManifests(sources: Source[]): Violation[] {
  const manifests = sources
    .filter((source) =>
      /^(packages|examples)\/[^/]+\/package\.json$|^bench\/package\.json$/.test(source.path),
    )
    .map((source) => ({ path: source.path, manifest: JSON.parse(source.text) as Manifest }))
  const versions = new Map(manifests.map(({ manifest }) => [manifest.name, manifest.version]))
  return manifests.flatMap(({ path, manifest }) =>
    judge(manifest, versions).map((message) => ({ path, line: 0, message })),
  )
}

function judge(manifest: Manifest, versions: Map<string, string>): string[] {
  const messages: string[] = []
  // Of a peer the user has the version that the user has.
  for (const [name, range] of Object.entries(manifest.dependencies ?? {})) {
    const isOurs = name.startsWith('@pkg/')
    if (isOurs && range !== `^${versions.get(name)}`) {
      messages.push(`${name} is '${range}': expected '^${versions.get(name)}'`)
    }
    if (!isOurs && !/^\d/.test(range)) messages.push(`${name} is '${range}': pin one version`)
    if (!isOurs && withoutNpm.has(manifest.name)) messages.push(`depends on ${name}, and runs in PID 1`)
  }
  if (manifest.private !== true && manifest.license !== 'MIT') messages.push('lacks "license": "MIT"')
  return messages
}
