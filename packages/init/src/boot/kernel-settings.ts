/** Host name and kernel settings. */
import { sethostname } from '@pkg/sys/system'
import { writeText } from '../shell/text-file.ts'
import { sysctlPath } from './sysctl-path.ts'

/** Sets the host name. */
export function setHostname(hostname: string): string {
  sethostname(hostname)
  return hostname
}

/**
 * Writes the settings of the plan.
 *
 * @throws Error that names each setting that was refused; the others are set
 */
export function applySysctl(settings: Readonly<Record<string, string>>): string {
  const failures: string[] = []
  for (const [name, value] of Object.entries(settings)) {
    try {
      writeText(`/proc/sys/${sysctlPath(name)}`, value)
    } catch (error) {
      failures.push(`${name} = ${value}: ${error instanceof Error ? error.message : String(error)}`)
    }
  }
  if (failures.length > 0) throw new Error(failures.join('; '))
  return `${Object.keys(settings).length} set`
}
