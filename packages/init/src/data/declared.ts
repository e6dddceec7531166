/** Whether data of services are PID 1's business at all: most machines need none of the rest. */
import { AT_FDCWD, F_OK } from '@pkg/sys/constants'
import { faccessat } from '@pkg/sys/fs'
import type { Plan } from '../plan.ts'

/** Where PID 1 keeps what it knows of them. */
export const STATE_FOLDER = '/var/lib/solo'

/** Whether this release, or one before it, has said something of its data. */
export function hasVersionedData({ services }: Plan): boolean {
  return services.some(({ data }) => data !== null) || faccessat(AT_FDCWD, `${STATE_FOLDER}/data`, F_OK)
}
