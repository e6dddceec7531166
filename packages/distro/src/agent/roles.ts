// What a key that may log in is for: a monitor need not be able to restart a machine, nor a build server to reset it.

/** The roles; each may do what those before it may. */
export const roles = ['observe', 'update', 'admin'] as const

/** A role. */
export type Role = (typeof roles)[number]

/** What is beyond bringing releases, trying them and going back. */
const forAdmins: ReadonlySet<string> = new Set(['/v1/factory-reset', '/v1/force-reboot', '/v1/power-off'])

/** What a client asks that brings an update: as long as it asks, its update is kept alive, and no other can begin. */
const forBringers = /^\/v1\/updates\/[^/]+\/wants/

/** The role that a request needs: one that only looks, or ends its own session, any; whatever is not known, more. */
export function neededRole(method: string, path: string): Role {
  if (forAdmins.has(path)) return 'admin'
  if (path === '/v1/session') return 'observe'
  if (forBringers.test(path)) return 'update'
  return ['GET', 'HEAD'].includes(method) ? 'observe' : 'update'
}

/** Whether one role is enough where another is needed. */
export function isEnough(has: Role, needed: Role): boolean {
  return roles.indexOf(has) >= roles.indexOf(needed)
}
