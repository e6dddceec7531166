// Where downloads and everything derived from them are kept between builds.
import { homedir } from 'node:os'
import { join, resolve } from 'node:path'

/**
 * The cache folder: `SOLO_CACHE_DIR`, else `solo` in `XDG_CACHE_HOME` (default `~/.cache`).
 *
 * @see https://specifications.freedesktop.org/basedir-spec/latest/
 */
export function cacheFolder(environment: NodeJS.ProcessEnv = process.env): string {
  const own = environment['SOLO_CACHE_DIR']
  if (own !== undefined && own !== '') return resolve(own)
  const shared = environment['XDG_CACHE_HOME']
  // A relative XDG_CACHE_HOME is to be ignored, says the specification.
  return join(shared?.startsWith('/') === true ? shared : join(homedir(), '.cache'), 'solo')
}
