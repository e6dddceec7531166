// The guest's program: installations one after another, as its argument has them.
import { setTimeout as sleep } from 'node:timers/promises'
import { type CarefulStep, installCarefully } from './careful.ts'
import { type CarelessStep, installCarelessly } from './careless.ts'

/** What the program is given, as JSON. */
export type Step = CarefulStep | CarelessStep

/** What the kernel writes by itself some time later belongs to the log as well. */
const SETTLE_MS = 200

for (const step of JSON.parse(process.argv[2] ?? '[]') as Step[]) {
  if ('mistake' in step) installCarelessly(step)
  else await installCarefully(step)
  await sleep(SETTLE_MS)
}
