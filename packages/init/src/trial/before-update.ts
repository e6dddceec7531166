/** Before the machine restarts into another release: services may prepare themselves, or refuse. */
import type { State } from '../core.ts'
import type { ServicePlan } from '../plan.ts'
import { runHook, type HookContext } from '../shell/hook.ts'

/**
 * Runs the hooks of all services that run, at the same time.
 *
 * @param version - of the release that is about to be started
 * @throws Error with the reason of each that refuses, or fails
 */
export async function askServices(
  services: State['services'],
  version: string | null,
  context: HookContext,
): Promise<void> {
  // One that does not run has nothing to prepare; the release may be its cure.
  const asked = Object.values(services).filter(({ status }) => status === 'running')
  const answers = await Promise.allSettled(
    asked.map(async ({ plan }) => await askOne(plan, version, context)),
  )
  const reasons = answers.filter((answer) => answer.status === 'rejected').map(({ reason }) => textOf(reason))
  if (reasons.length > 0) throw new Error(`no restart into another release: ${reasons.join('; ')}`)
}

async function askOne(plan: ServicePlan, version: string | null, context: HookContext): Promise<void> {
  const { name, beforeUpdate: hook } = plan
  if (hook === null) return
  // No service has a dot in its name: the group is another than that of the service, which runs.
  const run = { hook, name: `${name}.before-update`, what: `beforeUpdate of ${name}` }
  await runHook(plan, { ...run, variables: { SOLO_UPDATE_TO: version ?? '' } }, context)
}

function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
