// What a schema cannot see: files that must exist, names that must differ, keys that exclude each other. It
// takes the unchecked value, so that these mistakes are reported together with those of the schema.
import { statSync } from 'node:fs'
import { resolve } from 'node:path'
import type { Problem } from '../error.ts'
import { nearest, shown } from './expect.ts'
import { stableUid } from './users.ts'

type Loose = Readonly<Record<string, unknown>>

/** Where problems go. */
type Report = (path: string, message: string) => void

/** Checks a configuration of unknown shape; keys of a wrong type are the schema's business and passed over. */
export function checkMeaning(config: unknown, folder: string): Problem[] {
  const problems: Problem[] = []
  const report: Report = (path, message) => problems.push({ path, message })
  if (!isObject(config)) return problems
  const services = array(config['services']).map((each) => (isObject(each) ? each : {}))
  checkPrograms(services, folder, report)
  checkNames(services, report)
  checkUsers(services, report)
  checkPorts(config, services, report)
  checkOrder(services, report)
  checkForwards(config, report)
  checkFiles(config, folder, report)
  checkKernel(config, folder, report)
  return problems
}

function checkPrograms(services: readonly Loose[], folder: string, report: Report): void {
  for (const [index, { entry, command }] of services.entries()) {
    const at = `services[${index}]`
    if (entry === undefined && command === undefined) {
      report(at, 'expected entry (a TypeScript file) or command (a program of the image), got neither')
    }
    if (entry !== undefined && command !== undefined) {
      report(at, 'expected only one of entry and command, got both')
    }
    if (typeof entry === 'string') expectPath(folder, entry, 'file', `${at}.entry`, report)
    if (!Array.isArray(command)) continue
    const program: unknown = command[0]
    if (typeof program !== 'string' || !program.startsWith('/')) {
      report(
        `${at}.command[0]`,
        `expected the absolute path of a program in the image, got ${shown(program)}`,
      )
    }
  }
}

function checkNames(services: readonly Loose[], report: Report): void {
  const first = new Map<string, number>()
  for (const [index, { name }] of services.entries()) {
    if (typeof name !== 'string') continue
    const path = `services[${index}].name`
    const other = first.get(name)
    if (other !== undefined)
      report(path, `expected a name of its own, got ${shown(name)}, as services[${other}] has`)
    else first.set(name, index)
    // `init` marks PID 1's own log lines, `network-online` is a point in the boot.
    if (name === 'init' || name === 'network-online')
      report(path, `expected a name that is not reserved, got ${shown(name)}`)
  }
}

/** The user of a service, as far as it can be told. */
function userOf(service: Loose): { user: string; uid: number } | undefined {
  const user = service['user'] ?? service['name']
  if (typeof user !== 'string') return undefined
  const uid = service['uid']
  return { user, uid: typeof uid === 'number' ? uid : stableUid(user) }
}

function checkUsers(services: readonly Loose[], report: Report): void {
  const byUid = new Map<number, { user: string; index: number }>()
  const byUser = new Map<string, { uid: number; index: number }>()
  for (const [index, service] of services.entries()) {
    const own = userOf(service)
    if (own === undefined) continue
    const { user, uid } = own
    const path = `services[${index}].${service['uid'] === undefined ? 'name' : 'uid'}`
    const sameUid = byUid.get(uid)
    const sameUser = byUser.get(user)
    if (user !== 'root' && uid === 0) {
      report(`services[${index}].uid`, "expected a user id other than 0 (user: 'root' asks for it), got 0")
    } else if (sameUid !== undefined && sameUid.user !== user) {
      report(
        path,
        `expected a user id of its own, got ${uid}, which services[${sameUid.index}] (user ${sameUid.user}) has; ` +
          `set uid to another number`,
      )
    } else if (sameUser !== undefined && sameUser.uid !== uid) {
      report(
        path,
        `expected uid ${sameUser.uid} for user ${user}, as services[${sameUser.index}] has, got ${uid}`,
      )
    }
    if (sameUid === undefined) byUid.set(uid, { user, index })
    if (sameUser === undefined) byUser.set(user, { uid, index })
  }
}

function checkPorts(config: Loose, services: readonly Loose[], report: Report): void {
  const sysctl = isObject(config['sysctl']) ? config['sysctl'] : {}
  const firstFree = Number(sysctl['net.ipv4.ip_unprivileged_port_start'] ?? 1024)
  const owners = new Map<number, string>()
  for (const [index, service] of services.entries()) {
    for (const [place, port] of array(service['ports']).entries()) {
      if (typeof port !== 'number') continue
      const path = `services[${index}].ports[${place}]`
      const other = owners.get(port)
      if (other !== undefined) report(path, `expected a port of its own, got ${port}, as ${other} has`)
      else owners.set(port, path)
      if (port > 0 && port < firstFree && userOf(service)?.uid !== 0) {
        report(
          path,
          `expected a port from ${firstFree} on, got ${port}: lower ones need user: 'root', or ` +
            `sysctl: { 'net.ipv4.ip_unprivileged_port_start': '${port}' }`,
        )
      }
    }
  }
}

function checkOrder(services: readonly Loose[], report: Report): void {
  const names = services.flatMap(({ name }) => (typeof name === 'string' ? [name] : []))
  const after = new Map<string, readonly unknown[]>()
  for (const [index, service] of services.entries()) {
    const wanted = array(service['after'])
    if (typeof service['name'] === 'string') after.set(service['name'], wanted)
    for (const [place, name] of wanted.entries()) {
      if (typeof name !== 'string' || name === 'network-online' || names.includes(name)) continue
      const near = nearest(name, [...names, 'network-online'])
      const hint = near === undefined ? '' : `; did you mean "${near}"?`
      report(
        `services[${index}].after[${place}]`,
        `expected the name of a service, got ${shown(name)}${hint}`,
      )
    }
  }
  for (const [index, { name }] of services.entries()) {
    if (typeof name === 'string' && reaches(after, name, name, new Set())) {
      report(`services[${index}].after`, `expected an order without circles, got one back to ${shown(name)}`)
    }
  }
}

function reaches(
  after: ReadonlyMap<string, readonly unknown[]>,
  from: string,
  to: string,
  seen: Set<string>,
): boolean {
  for (const next of after.get(from) ?? []) {
    if (next === to) return true
    if (typeof next !== 'string' || seen.has(next)) continue
    seen.add(next)
    if (reaches(after, next, to, seen)) return true
  }
  return false
}

function checkForwards(config: Loose, report: Report): void {
  const seen = new Map<number, string>()
  for (const [index, each] of array(config['forward']).entries()) {
    const host: unknown = isObject(each) ? (each['host'] ?? each['guest']) : each
    const path = `forward[${index}]`
    if (typeof host !== 'number' || host === 0) continue
    const other = seen.get(host)
    if (other !== undefined) report(path, `expected a host port of its own, got ${host}, as ${other} has`)
    seen.set(host, path)
  }
}

/** Paths that the build itself fills. */
const ownPaths: ReadonlySet<string> = new Set([
  '/init',
  '/bin/bun',
  '/sbin/init.js',
  '/etc/solo/plan.json',
  '/etc/resolv.conf',
  '/etc/hosts',
])

function checkFiles(config: Loose, folder: string, report: Report): void {
  const targets = new Map<string, number>()
  for (const [index, each] of array(config['files']).entries()) {
    if (!isObject(each)) continue
    const { from, to } = each
    if (typeof from === 'string') expectPath(folder, from, 'file or folder', `files[${index}].from`, report)
    if (typeof to !== 'string') continue
    const other = targets.get(to)
    if (other !== undefined)
      report(`files[${index}].to`, `expected a path of its own, got ${shown(to)}, as files[${other}] has`)
    targets.set(to, index)
    const parts = to.split('/').slice(1)
    if (ownPaths.has(to))
      report(`files[${index}].to`, `expected a path that Solo does not fill itself, got ${shown(to)}`)
    else if (to.startsWith('/') && parts.some((part) => part === '' || part === '.' || part === '..')) {
      report(`files[${index}].to`, `expected a path without //, . and .., got ${shown(to)}`)
    }
  }
  const { sysroot, apt } = config
  if (typeof sysroot === 'string') expectPath(folder, sysroot, 'folder', 'sysroot', report)
  if (isObject(apt) && typeof apt['sources'] === 'string') {
    expectPath(folder, apt['sources'], 'file', 'apt.sources', report)
    if (!/\.(list|sources)$/.test(apt['sources'])) {
      report('apt.sources', `expected a file that ends in .list or .sources, got ${shown(apt['sources'])}`)
    }
  }
}

function checkKernel(config: Loose, folder: string, report: Report): void {
  const kernel = config['kernel']
  if (!isObject(kernel)) return
  const ways = ['flavour', 'package', 'deb', 'image'].filter((key) => kernel[key] !== undefined)
  if (ways.length > 1)
    report('kernel', `expected one of flavour, package, deb and image, got ${ways.join(' and ')}`)
  const { deb, image, modules } = kernel
  if (modules !== undefined && image === undefined)
    report('kernel.modules', 'expected kernel.image with it, got modules alone')
  if (typeof deb === 'string') expectPath(folder, deb, 'file', 'kernel.deb', report)
  if (typeof image === 'string') expectPath(folder, image, 'file', 'kernel.image', report)
  if (typeof modules === 'string') expectPath(folder, modules, 'folder', 'kernel.modules', report)
}

function expectPath(
  folder: string,
  path: string,
  kind: 'file' | 'folder' | 'file or folder',
  key: string,
  report: Report,
): void {
  const info = statSync(resolve(folder, path), { throwIfNoEntry: false })
  const found = info?.isFile() === true ? 'file' : info?.isDirectory() === true ? 'folder' : undefined
  if (found !== undefined && kind.split(' or ').includes(found)) return
  const got =
    info === undefined
      ? 'which does not exist'
      : found === undefined
        ? 'a special file'
        : `which is a ${found}`
  report(key, `expected a ${kind}, got ${shown(path)}, ${got}`)
}

function array(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : []
}

function isObject(value: unknown): value is Loose {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
