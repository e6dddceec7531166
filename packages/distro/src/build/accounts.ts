// The users and groups of an image: those of the services, and those that the configuration declares.
import type { ApplianceConfig, ServiceConfig } from '../config.ts'
import { stableUid } from '../config/users.ts'

/** A line of /etc/passwd. Its group has its name and its number. */
export interface Account {
  readonly name: string
  readonly uid: number
  /** Its home, as passwd(5) has it. */
  readonly home: string
}

/** A line of /etc/group. */
export interface Group {
  readonly name: string
  readonly gid: number
  /** Names of the users that have it besides their own. */
  readonly members: readonly string[]
}

/** The user of a service: its own, a shared one, or root. */
export function userOf(service: ServiceConfig, config: ApplianceConfig): Account {
  const name = service.user ?? service.name
  const declared = declaredUsers(config).find((user) => user.name === name)
  return declared ?? { name, uid: service.uid ?? stableUid(name), home: '/' }
}

/** All users but root, each once, in the order of their numbers. */
export function usersOf(config: ApplianceConfig): Account[] {
  const all = [...config.services.map((service) => userOf(service, config)), ...declaredUsers(config)]
  const byName = new Map(all.filter(({ uid }) => uid !== 0).map((user) => [user.name, user]))
  return [...byName.values()].toSorted((a, b) => a.uid - b.uid)
}

/** The number of a user that folders and the like name. */
export function uidOf(config: ApplianceConfig, user: string): number {
  return usersOf(config).find(({ name }) => name === user)?.uid ?? stableUid(user)
}

/** All groups but root's: one for each user, and those that are declared. */
export function groupsOf(config: ApplianceConfig): Group[] {
  const own = usersOf(config).map(({ name, uid }) => ({ name, gid: uid }))
  const declared = (config.groups ?? []).map(({ name, gid = stableUid(name) }) => ({ name, gid }))
  const members = (group: string): string[] => [
    ...(config.users ?? []).flatMap(({ name, groups = [] }) => (groups.includes(group) ? [name] : [])),
    ...config.services.flatMap((service) =>
      service.groups?.includes(group) === true ? [userOf(service, config).name] : [],
    ),
  ]
  return [...own, ...declared]
    .toSorted((a, b) => a.gid - b.gid)
    .map(({ name, gid }) => ({ name, gid, members: [...new Set(members(name))].toSorted() }))
}

/** Numbers of the groups that a service has besides that of its user: those that it names, and those of its user. */
export function groupIdsOf(service: ServiceConfig, config: ApplianceConfig): number[] {
  const user = (config.users ?? []).find(({ name }) => name === userOf(service, config).name)
  const groups = groupsOf(config)
  const ids = [...(service.groups ?? []), ...(user?.groups ?? [])].map((group) =>
    typeof group === 'number' ? group : (groups.find(({ name }) => name === group)?.gid ?? stableUid(group)),
  )
  return [...new Set(ids)]
}

function declaredUsers(config: ApplianceConfig): Account[] {
  return (config.users ?? []).map(({ name, uid = stableUid(name), home = '/' }) => ({ name, uid, home }))
}
