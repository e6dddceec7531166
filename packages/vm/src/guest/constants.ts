/** `import('@pkg/sys/constants')` in a function that was sent here: read from a file beside the agent's bundle. */
import { readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { currentArchitecture } from '@pkg/sys/raw'

/** Name of the file, in the folder of the agent's program. */
const FILE = 'constants.json'

/** What is in the file. */
export interface ConstantsFile {
  /** Values by name. Those that differ between architectures are the host's. */
  readonly values: Readonly<Record<string, number>>
  /** Values that no number holds, in decimal. */
  readonly bigints: Readonly<Record<string, string>>
  /** Values by name and architecture, where they differ. */
  readonly differing: Readonly<Record<string, Readonly<Partial<Record<'x64' | 'arm64', number>>>>>
}

let loaded: Promise<object> | undefined

/** All constants, as the module would give them. */
export function importConstants(): Promise<object> {
  loaded ??= load(join(dirname(process.argv[1] ?? ''), FILE))
  return loaded
}

async function load(path: string): Promise<object> {
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch {
    // The agent runs from its sources. The bundler must not see the name: it would find it in a constant too.
    return (await import(['@pkg', 'sys', 'constants'].join('/'))) as object
  }
  return constantsOf(JSON.parse(text) as ConstantsFile, currentArchitecture())
}

/** The constants of `architecture` by name. */
export function constantsOf(file: ConstantsFile, architecture: 'x64' | 'arm64'): Record<string, unknown> {
  const constants: Record<string, unknown> = { ...file.values, differing: file.differing }
  for (const [name, decimal] of Object.entries(file.bigints)) constants[name] = BigInt(decimal)
  for (const [name, values] of Object.entries(file.differing)) constants[name] = values[architecture]
  return constants
}
