/** Each package's README: what it is, an example to run, its subpaths, what it does not do, the licence. */
import type { Source, Violation } from './sources.ts'

/** READMEs that lack one of their parts, and packages that lack a README. */
export function checkReadmes(sources: Source[]): Violation[] {
  const manifests = sources.filter((source) => /^packages\/[^/]+\/package\.json$/.test(source.path))
  return manifests.flatMap((source) => {
    const path = source.path.replace('package.json', 'README.md')
    const readme = sources.find((other) => other.path === path)
    if (readme === undefined) return [{ path, line: 0, message: 'is missing' }]
    const manifest = JSON.parse(source.text) as { name: string; exports: Record<string, unknown> }
    return missingParts(readme.text, manifest).map((message) => ({ path, line: 0, message }))
  })
}

function missingParts(text: string, manifest: { name: string; exports: Record<string, unknown> }): string[] {
  const messages: string[] = []
  if (!text.startsWith(`# ${manifest.name}`)) messages.push(`must begin with "# ${manifest.name}"`)
  if (!/^```ts$/m.test(text)) messages.push('has no ```ts example')
  if (!/^#+ .*\bnot\b/im.test(text)) messages.push('has no section on what the package does not do')
  if (!/\bMIT\b/.test(text)) messages.push('names no licence')
  for (const subpath of Object.keys(manifest.exports)) {
    if (subpath === './package.json' || subpath === '.') continue
    const name = `${manifest.name}${subpath.slice(1)}`
    if (!text.includes(name)) messages.push(`does not name the subpath ${name}`)
  }
  return messages
}
