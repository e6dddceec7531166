// What a schema cannot see: files that must exist, names that must differ, keys that exclude each other. It
// takes the unchecked value, so that these mistakes are reported together with those of the schema.
import type { Problem } from '../error.ts'
import { checkAccounts, userNames, userOf } from './check-accounts.ts'
import { checkData } from './check-data.ts'
import { checkProbes, checkReserved, checkUpdates } from './check-updates.ts'
import { expectPath } from './expect-path.ts'
import { nearest, shown } from './expect.ts'

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
  checkAccounts(config, services, report)
  checkPorts(config, services, report)
  checkOrder(services, report)
  checkForwards(config, report)
  checkFiles(config, folder, report)
  checkFolders(config, services, report)
  checkCertificates(config, folder, report)
  checkKernel(config, folder, report)
  checkProbes(services, report)
  checkData(config, services, folder, report)
  checkReserved(config, services, report)
  checkUpdates(config, folder, report)
  return problems
}

function checkPrograms(services: readonly Loose[], folder: string, report: Report): void {
  for (const [index, { entry, args, command }] of services.entries()) {
    const at = `services[${index}]`
    if (args !== undefined && entry === undefined)
      report(`${at}.args`, 'expected entry with it; with command they belong there')
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
  '/sbin/poweroff',
  '/sbin/reboot',
  '/sbin/halt',
  '/etc/solo/plan.json',
  '/etc/solo/release.json',
  '/etc/solo/trust.json',
  '/etc/solo/agent.json',
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

function checkFolders(config: Loose, services: readonly Loose[], report: Report): void {
  const users = userNames(config, services)
  for (const [index, folder] of array(config['folders']).entries()) {
    const user = isObject(folder) ? folder['user'] : undefined
    if (typeof user !== 'string' || users.includes(user)) continue
    const near = nearest(user, users)
    const hint = near === undefined ? '' : `; did you mean "${near}"?`
    report(
      `folders[${index}].user`,
      `expected root, one of users, or the user of a service, got ${shown(user)}${hint}`,
    )
  }
}

function checkCertificates({ certificates }: Loose, folder: string, report: Report): void {
  if (!isObject(certificates)) return
  const files = array(certificates['files'])
  for (const [index, file] of files.entries()) {
    if (typeof file === 'string') expectPath(folder, file, 'file', `certificates.files[${index}]`, report)
  }
  if (certificates['debian'] === false && files.length === 0)
    report('certificates', 'expected files where debian is false, got none: then leave certificates out')
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

function array(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : []
}

function isObject(value: unknown): value is Loose {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
