// What the schema cannot see of updates, the agent, and the probes of services.
import { parsePublicKey } from '@pkg/update/ssh-key'
import { shown } from './expect.ts'
import { publicKeyLine } from './keys.ts'
import { AGENT_USER, stableUid } from './users.ts'

type Loose = Readonly<Record<string, unknown>>
type Report = (path: string, message: string) => void

/** Names of the services that the build adds. */
export const ownServices: readonly string[] = ['agent', 'updater']

/** Checks `updates` and `agent`. */
export function checkUpdates(config: Loose, folder: string, report: Report): void {
  const { updates, agent } = config
  if (isObject(updates)) {
    for (const role of ['release', 'trust', 'channel'])
      checkSigners(updates[role], `updates.${role}`, folder, report)
    const gate = updates['gate']
    if (isObject(gate) && Array.isArray(gate['probes'])) {
      for (const [index, probe] of gate['probes'].entries()) {
        checkOneOf(probe, ['tcp', 'http', 'command'], `updates.gate.probes[${index}]`, report)
      }
    }
    if (agent === undefined) {
      report('updates', 'expected agent with it, which brings the releases, got updates alone')
    }
  }
  if (isObject(agent) && Array.isArray(agent['keys'])) {
    const keys = agent['keys'].map((each: unknown) => (isObject(each) ? each['key'] : each))
    checkKeys(keys, 'agent.keys', folder, report)
  }
}

/** Checks `ready` and `health` of the services. */
export function checkProbes(services: readonly Loose[], report: Report): void {
  for (const [index, { ready, health }] of services.entries()) {
    checkOneOf(ready, ['notify', 'tcp', 'http', 'command'], `services[${index}].ready`, report)
    checkOneOf(health, ['tcp', 'http', 'command'], `services[${index}].health`, report)
  }
}

/** Checks what the agent takes for itself: names of services, and its port. */
export function checkReserved(config: Loose, services: readonly Loose[], report: Report): void {
  const { agent } = config
  if (!isObject(agent)) return
  for (const [kind, id] of [
    ['users', 'uid'],
    ['groups', 'gid'],
  ] as const) {
    const accounts: unknown = config[kind]
    for (const [index, account] of (Array.isArray(accounts) ? accounts : []).entries()) {
      if (!isObject(account)) continue
      const { name, [id]: number = typeof name === 'string' ? stableUid(name) : undefined } = account
      if (number === stableUid(AGENT_USER))
        report(`${kind}[${index}]`, `expected another number than ${number}, which is the agent's`)
      else if (name === AGENT_USER)
        report(`${kind}[${index}].name`, `expected a name that is not reserved, got ${shown(name)}`)
    }
  }
  const port = agent['port'] ?? 8443
  for (const [index, service] of services.entries()) {
    const { name, ports } = service
    if (typeof name === 'string' && ownServices.includes(name))
      report(`services[${index}].name`, `expected a name that is not reserved, got ${shown(name)}`)
    checkAgentUser(service, `services[${index}]`, report)
    const place = Array.isArray(ports) ? ports.indexOf(port) : -1
    if (place !== -1)
      report(
        `services[${index}].ports[${place}]`,
        `expected a port of its own, got ${shown(port)}, which is the agent's`,
      )
  }
}

/** Who shares the agent's user or group may do what the agent may. */
function checkAgentUser({ name, user = name, uid, groups }: Loose, at: string, report: Report): void {
  const own = stableUid(AGENT_USER)
  const number = uid ?? (typeof user === 'string' ? stableUid(user) : undefined)
  if (user === AGENT_USER) report(`${at}.user`, `expected a user that is not reserved, got ${shown(user)}`)
  else if (number === own)
    report(`${at}.uid`, `expected a user id other than the agent's, got ${own}; set uid to another number`)
  const place = Array.isArray(groups) ? groups.indexOf(own) : -1
  if (place !== -1) report(`${at}.groups[${place}]`, `expected a group other than the agent's, got ${own}`)
}

function checkOneOf(value: unknown, keys: readonly string[], path: string, report: Report): void {
  if (!isObject(value)) return
  const found = keys.filter((key) => value[key] !== undefined)
  if (found.length !== 1)
    report(
      path,
      `expected one of ${keys.join(', ')}, got ${found.length === 0 ? 'none' : found.join(' and ')}`,
    )
  const command = value['command']
  if (Array.isArray(command) && !(typeof command[0] === 'string' && command[0].startsWith('/')))
    report(`${path}.command[0]`, `expected the absolute path of a program, got ${shown(command[0])}`)
}

function checkSigners(value: unknown, path: string, folder: string, report: Report): void {
  if (!isObject(value)) return
  const count = checkKeys(value['keys'], `${path}.keys`, folder, report)
  const threshold = value['threshold'] ?? 1
  if (count !== undefined && typeof threshold === 'number' && threshold > count)
    report(`${path}.threshold`, `expected at most ${count}, the number of keys, got ${threshold}`)
}

/** Counts the different keys; undefined when one cannot be read. */
function checkKeys(value: unknown, path: string, folder: string, report: Report): number | undefined {
  if (!Array.isArray(value)) return undefined
  if (value.length === 0) report(path, 'expected at least one key, got none')
  const seen = new Map<string, number>()
  for (const [index, key] of value.entries()) {
    if (typeof key !== 'string') return undefined
    try {
      const { fingerprint } = parsePublicKey(publicKeyLine(key, folder))
      const other = seen.get(fingerprint)
      if (other !== undefined)
        report(`${path}[${index}]`, `expected another key than ${path}[${other}], got the same`)
      seen.set(fingerprint, index)
    } catch (error) {
      report(`${path}[${index}]`, error instanceof Error ? error.message : String(error))
      return undefined
    }
  }
  return seen.size
}

function isObject(value: unknown): value is Loose {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
