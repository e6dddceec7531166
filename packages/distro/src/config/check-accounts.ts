// What the schema cannot see of users and groups: names and numbers that must differ, and names that must be known.
import { nearest, shown } from './expect.ts'
import { stableUid } from './users.ts'

type Loose = Readonly<Record<string, unknown>>
type Report = (path: string, message: string) => void

/** The user of a service, as far as it can be told. */
export function userOf(service: Loose): { user: string; uid: number } | undefined {
  const user = service['user'] ?? service['name']
  if (typeof user !== 'string') return undefined
  const uid = service['uid']
  return { user, uid: typeof uid === 'number' ? uid : stableUid(user) }
}

/** Names of all users, root included. */
export function userNames(config: Loose, services: readonly Loose[]): string[] {
  const declared = objects(config['users']).map(({ name }) => name)
  const names = ['root', ...declared, ...services.map((service) => userOf(service)?.user)]
  return names.filter((name) => typeof name === 'string')
}

/** Checks `users`, `groups`, and the users and groups of the services. */
export function checkAccounts(config: Loose, services: readonly Loose[], report: Report): void {
  checkUsers(config, services, report)
  checkGroups(config, services, report)
}

interface Owner {
  readonly user: string
  readonly uid: number
  /** Where it is named first. */
  readonly at: string
}

function checkUsers(config: Loose, services: readonly Loose[], report: Report): void {
  const byUid = new Map<number, Owner>()
  const byUser = new Map<string, Owner>()
  for (const [index, { name, uid }] of objects(config['users']).entries()) {
    if (typeof name !== 'string') continue
    const at = `users[${index}]`
    const owner = { user: name, uid: typeof uid === 'number' ? uid : stableUid(name), at }
    const same = byUser.get(name)
    if (same !== undefined)
      report(`${at}.name`, `expected a name of its own, got ${shown(name)}, as ${same.at} has`)
    else if (owner.uid === 0) report(at, 'expected another user than root, which is always there')
    else checkUid(owner, uid === undefined ? `${at}.name` : `${at}.uid`, byUid, report)
    byUser.set(name, same ?? owner)
  }
  for (const [index, service] of services.entries()) {
    const own = userOf(service)
    if (own === undefined) continue
    const at = `services[${index}]`
    const first = byUser.get(own.user)
    // One of `users` has its number from there.
    const isDeclared = first?.at.startsWith('users') === true
    const uid = isDeclared && service['uid'] === undefined ? first.uid : own.uid
    const owner = { user: own.user, uid, at }
    const path = `${at}.${service['uid'] === undefined ? 'name' : 'uid'}`
    if (owner.user !== 'root' && uid === 0) {
      report(`${at}.uid`, "expected a user id other than 0 (user: 'root' asks for it), got 0")
    } else if (first !== undefined && first.uid !== uid) {
      report(path, `expected uid ${first.uid} for user ${owner.user}, as ${first.at} has, got ${uid}`)
    } else checkUid(owner, path, byUid, report)
    byUser.set(owner.user, first ?? owner)
  }
}

function checkUid(owner: Owner, path: string, byUid: Map<number, Owner>, report: Report): void {
  const same = byUid.get(owner.uid)
  if (same === undefined) byUid.set(owner.uid, owner)
  else if (same.user !== owner.user) {
    report(
      path,
      `expected a user id of its own, got ${owner.uid}, which ${same.at} (user ${same.user}) has; ` +
        `set uid to another number`,
    )
  }
}

function checkGroups(config: Loose, services: readonly Loose[], report: Report): void {
  const users = userNames(config, services)
  const names: string[] = []
  for (const [index, { name }] of objects(config['groups']).entries()) {
    if (typeof name !== 'string') continue
    if (names.includes(name) || users.includes(name)) {
      const why = users.includes(name) ? 'a user has, whose group it is' : 'another group has'
      report(`groups[${index}].name`, `expected a name of its own, got ${shown(name)}, as ${why}`)
    }
    names.push(name)
  }
  const known = [...names, ...users]
  const member = (kind: string, index: number, groups: unknown): void => {
    for (const [place, group] of (Array.isArray(groups) ? groups : []).entries()) {
      if (typeof group !== 'string' || known.includes(group)) continue
      const near = nearest(group, known)
      const hint = near === undefined ? '' : `; did you mean "${near}"?`
      const path = `${kind}[${index}].groups[${place}]`
      report(path, `expected the name of a group of groups, or of a user, got ${shown(group)}${hint}`)
    }
  }
  for (const [index, { groups }] of objects(config['users']).entries()) member('users', index, groups)
  for (const [index, { groups }] of services.entries()) member('services', index, groups)
}

/** The objects of an array; what is none has its place. */
function objects(value: unknown): Loose[] {
  return (Array.isArray(value) ? value : []).map((each: unknown) =>
    typeof each === 'object' && each !== null ? (each as Loose) : {},
  )
}
