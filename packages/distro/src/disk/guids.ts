// What an image has instead of chance, made from the appliance's name: equal builds are equal to the bit. The first
// boot gives each disk GUIDs of its own.
import { createHash } from 'node:crypto'
import { namedGuid } from '@pkg/image/guid'

/** The GUID of an appliance's disk as it is built. */
export function diskGuid(appliance: string): string {
  return namedGuid(`solo/${appliance}`)
}

/** The GUID of a partition as it is built. */
export function partitionGuid(appliance: string, partition: string): string {
  return namedGuid(`solo/${appliance}/${partition}`)
}

/** What each block of an appliance's roots is hashed with: constant, so that equal blocks have equal digests. */
export function veritySalt(appliance: string): Uint8Array {
  return createHash('sha256').update(`solo/${appliance}/salt`).digest()
}
