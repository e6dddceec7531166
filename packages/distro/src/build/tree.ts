// What the image holds, as two trees: the runtime, the same for every appliance, and the appliance itself.
import { resolve } from 'node:path'
import { hostFile } from '@pkg/image/file-source'
import { FileTree } from '@pkg/image/tree'
import type { ReleaseIdentity } from '@pkg/init/boot-state'
import type { Archive } from '@pkg/vm/archive'
import type { Kernel } from '@pkg/vm/kernel'
import type { Architecture } from '@pkg/vm/machine'
import type { LoadedAppliance } from '../config/load.ts'
import { provideE2fsck } from '../disk/provide.ts'
import { addPackages } from '../packages/add.ts'
import { ConfigError } from '../error.ts'
import type { Progress } from '../progress.ts'
import { debianComponent } from '../sbom/component.ts'
import type { Origins } from '../sbom/origins.ts'
import type { Sources } from '../sbom/sources.ts'
import { bundle } from './bundle.ts'
import { cachedBundle } from './bundle-cache.ts'
import { addCertificates } from './certificates.ts'
import { etcFiles } from './etc-files.ts'
import { addFiles } from './files.ts'
import type { BuildFormat } from './format.ts'
import { addRuntimeLibraries } from './libraries.ts'
import { type AddedModules, addModules } from './modules.ts'
import { isOwnService } from './own-services.ts'
import { hooksOf, makePlan, serviceFolder } from './plan.ts'
import { addPowerPrograms } from './power-programs.ts'
import { stub } from './stub.ts'
import { addTimeZone } from './time-zone.ts'
import { updateFiles } from './update-files.ts'

/** What the trees are made of, besides the configuration. */
export interface Ingredients {
  readonly architecture: Architecture
  readonly kernel: Kernel
  /** The Bun binary. */
  readonly bun: string
  /** Folder with the pinned glibc. */
  readonly glibc: string
  /** How all of it is called where it comes from. */
  readonly sources: Sources
  /** Learns what each file comes from. */
  readonly origins: Origins
  /** What the image is a release of. */
  readonly identity: ReleaseIdentity
}

/** Bun and the libraries that it needs. */
export async function runtimeTree({ bun, glibc, sources, origins }: Ingredients): Promise<FileTree> {
  const tree = new FileTree()
  tree.add({ path: '/bin/bun', type: 'file', mode: 0o755, content: await hostFile(bun) })
  origins.claim(tree, [sources.bun])
  await addRuntimeLibraries(tree, { path: '/bin/bun', source: bun }, glibc)
  origins.claim(tree, (path) => sources.library(path))
  return tree
}

/** What the appliance's tree needs beside its ingredients. */
interface Context extends Ingredients {
  readonly loaded: LoadedAppliance
  readonly archive: Archive
  readonly cache: string
  readonly progress: Progress
  readonly runtime: FileTree
  readonly format: BuildFormat
  readonly tree: FileTree
}

/** Everything else: stub, init, services, modules, files, and the folders that have to exist. */
export async function applianceTree(
  loaded: LoadedAppliance,
  ingredients: Ingredients & Pick<Context, 'archive' | 'cache' | 'progress'>,
  runtime: FileTree,
  format: BuildFormat,
): Promise<{ tree: FileTree; modules: AddedModules }> {
  const tree = new FileTree()
  const { kernel, sources, origins } = ingredients
  const context: Context = { ...ingredients, loaded, runtime, format, tree }
  addFolders(tree)
  if (format === 'disk') await addDiskFiles(context)
  else tree.add({ path: '/init', type: 'file', mode: 0o755, content: stub(ingredients.architecture) })
  addPowerPrograms(tree, ingredients.architecture)
  addEtc(context)
  origins.claim(tree, [sources.solo, sources.appliance])
  await addPrograms(context)
  await addConfiguredFiles(context)
  await addDebianPackages(context)
  await addCommonFiles(context)
  const modules = await addModules(tree, kernel, loaded.config, loaded.file)
  origins.claim(tree, sources.kernel)
  return { tree, modules }
}

function addFolders(tree: FileTree): void {
  for (const path of ['/proc', '/sys', '/dev', '/run', '/var', '/mnt']) tree.add({ path, type: 'directory' })
  tree.add({ path: '/tmp', type: 'directory', mode: 0o1777 })
  tree.add({ path: '/root', type: 'directory', mode: 0o700 })
  // Opened by the kernel as PID 1's standard input and output, before anything is mounted on /dev.
  tree.add({ path: '/dev/console', type: 'char', major: 5, minor: 1 })
}

async function addDiskFiles({ tree, origins, archive, cache, sources }: Context): Promise<void> {
  // Made at the first boot.
  tree.add({ path: '/etc/machine-id', type: 'symlink', target: '/var/lib/solo/machine-id' })
  origins.claim(tree, [sources.solo])
  const e2fsck = await provideE2fsck(archive, cache)
  tree.add({ path: '/sbin/e2fsck', type: 'file', mode: 0o755, content: await hostFile(e2fsck) })
  origins.claim(tree, sources.taken('e2fsck'))
}

function addEtc({ tree, loaded, format, identity }: Context): void {
  const { config } = loaded
  addTexts(tree, etcFiles(config))
  const plan = `${JSON.stringify(makePlan(config, format), undefined, 2)}\n`
  addTexts(tree, new Map([['/etc/solo/plan.json', plan]]))
  addTexts(tree, updateFiles(loaded, identity, format))
  // Its content is known when the network is up.
  tree.add({ path: '/etc/resolv.conf', type: 'symlink', target: '/run/resolv.conf' })
}

/** PID 1 and the services. */
async function addPrograms({ tree, origins, sources, loaded, cache }: Context): Promise<void> {
  const { config, folder, file } = loaded
  const initMain = Bun.resolveSync('@pkg/init/main', import.meta.dirname)
  const init = await cachedBundle(initMain, 'init', { bytecode: true }, cache)
  for (const [name, content] of init.files) {
    tree.add({ path: `/sbin/${name.replace(/^index\.js/, 'init.js')}`, type: 'file', content })
  }
  origins.claim(tree, [...init.own, ...init.packages])
  for (const { name, entry, what, to } of entriesOf(config)) {
    const { files, own, packages } = await bundle(resolve(folder, entry), `${file}: ${what}`)
    for (const [each, content] of files) tree.add({ path: `${to}/${each}`, type: 'file', content })
    origins.claim(tree, [...(isOwnService(name, config) ? own : [sources.appliance]), ...packages])
  }
}

/** What is bundled: services, and their hooks. */
function entriesOf({
  services,
}: Context['loaded']['config']): { name: string; entry: string; what: string; to: string }[] {
  return services.flatMap((service, index) => {
    const { name } = service
    const all = [
      { key: 'entry', entry: service.entry, to: serviceFolder(name) },
      ...hooksOf(service).map(({ key, hook, folder }) => {
        return { key: `${key}.entry`, entry: hook?.entry, to: folder }
      }),
    ]
    return all.flatMap(({ key, entry, to }) =>
      entry === undefined ? [] : [{ name, entry, to, what: `services[${index}].${key}` }],
    )
  })
}

async function addConfiguredFiles(context: Context): Promise<void> {
  const { tree, origins, sources, loaded, architecture, glibc, runtime } = context
  const { config, folder, file: configFile } = loaded
  const files = config.files ?? []
  const sysroot = resolve(folder, config.sysroot ?? '/')
  await addFiles(tree, files, { folder, configFile, architecture, glibc, sysroot, runtime })
  const isNamed = (path: string): boolean => files.some(({ to }) => path === to || path.startsWith(`${to}/`))
  origins.claim(tree, (path) => (isNamed(path) ? [sources.appliance] : sources.library(path)))
}

async function addDebianPackages(context: Context): Promise<void> {
  const { tree, origins, sources, loaded, archive, cache, glibc, runtime, progress } = context
  const { pins, origin, leftOut, incomplete } = await addPackages(tree, loaded.config.packages ?? [], {
    ...{ archive, cache, glibc, runtime },
  })
  if (pins.length > 0)
    progress.note(`packages: ${pins.map(({ name, version }) => `${name} ${version}`).join(', ')}`)
  const services = loaded.config.services.flatMap(({ command }, index) => {
    const found = incomplete.find(({ path }) => path === command?.[0])
    const message = `${found?.path} needs ${found?.missing}, which none of the packages has: name the one that does in packages`
    return found === undefined ? [] : [{ path: `services[${index}].command[0]`, message }]
  })
  if (services.length > 0) throw new ConfigError(loaded.file, services)
  if (incomplete.length > 0) {
    const lacking = incomplete.map(({ path, missing }) => `${path} (${missing})`).join(', ')
    progress.note(`without a library that they need: ${lacking}: name the package that has it, to use them`)
  }
  if (leftOut.length > 0) progress.note(`not added, though packages depend on them: ${leftOut.join(', ')}`)
  origins.claim(tree, (path) => {
    const pin = origin.get(path)
    return pin === undefined ? sources.library(path) : [debianComponent(pin, archive.suite)]
  })
}

/** What programs expect in every system, where the configuration wants it. */
async function addCommonFiles({ tree, origins, sources, loaded, archive, cache }: Context): Promise<void> {
  const { config, folder, file: configFile } = loaded
  if (config.certificates !== undefined) {
    await addCertificates(tree, config.certificates, { archive, cache, folder, configFile })
    const own = config.certificates.files === undefined ? [] : [sources.appliance]
    origins.claim(tree, [...sources.taken('certificates'), ...own])
  }
  if (config.timeZone === undefined) return
  await addTimeZone(tree, config.timeZone, { archive, cache, configFile })
  origins.claim(tree, sources.taken('time zones'))
}

function addTexts(tree: FileTree, texts: ReadonlyMap<string, string>): void {
  for (const [path, text] of texts) tree.add({ path, type: 'file', content: new TextEncoder().encode(text) })
}

/** A copy in which every node has one time. */
export function withTime(tree: FileTree, mtimeSeconds: number): FileTree {
  const copy = new FileTree()
  const links = []
  for (const node of tree) {
    if (node.type === 'hardlink') links.push(node)
    else copy.add({ ...node, mtimeSeconds })
  }
  for (const link of links) copy.add(link)
  return copy
}

/** All nodes of some trees in one, each with one time. */
export function mergedTree(trees: readonly FileTree[], mtimeSeconds: number): FileTree {
  const merged = new FileTree()
  for (const tree of trees) {
    for (const node of withTime(tree, mtimeSeconds)) {
      // Folders that both have.
      if (!(node.type === 'directory' && merged.has(node.path))) merged.add(node)
    }
  }
  return merged
}
