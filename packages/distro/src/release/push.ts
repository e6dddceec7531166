// A release into a registry.
import { folderSource } from '@pkg/update/folder-source'
import { pushRelease } from '@pkg/update/registry-push'
import { SourceError } from '@pkg/update/source'
import { SoloError } from '../error.ts'
import type { Progress } from '../progress.ts'
import { parseRegistry } from './place.ts'

/**
 * Pushes releases of a layout, each under its name as the tag.
 *
 * @param to - `oci://host/name`
 * @throws SoloError when the registry does not take it
 */
export async function pushTo(
  to: string,
  {
    folder,
    names,
    progress,
  }: { readonly folder: string; readonly names: readonly string[]; readonly progress: Progress },
): Promise<void> {
  const { tag, ...where } = parseRegistry(to)
  if (tag !== undefined) {
    throw new SoloError(`--push: expected oci://HOST/NAME, the tags are ${names.join(' and ')}, got ${to}`, {
      exitStatus: 2,
    })
  }
  const credentials = credentialsOf(process.env)
  progress.step(`push to ${to}`)
  let sentBytes = 0
  try {
    for (const name of names) {
      await pushRelease({
        ...{ ...where, from: folderSource(folder), reference: name, tags: [name] },
        ...(credentials === undefined ? {} : { credentials }),
        onBlob: (_, bytes) => (sentBytes += bytes),
      })
    }
  } catch (cause) {
    if (!(cause instanceof SourceError)) throw cause
    const hint =
      credentials === undefined ? ' (SOLO_REGISTRY_USER and SOLO_REGISTRY_PASSWORD say who pushes)' : ''
    throw new SoloError(`${to}: ${cause.message}${hint}`, { cause })
  }
  progress.done(`${names.join(', ')}: ${sentBytes} bytes sent`)
}

/** In the environment: on the command line everybody on the machine could read a password. */
function credentialsOf(environment: NodeJS.ProcessEnv): { username: string; password: string } | undefined {
  const { SOLO_REGISTRY_USER: username, SOLO_REGISTRY_PASSWORD: password } = environment
  return username === undefined || password === undefined ? undefined : { username, password }
}
