// What the image holds, as two trees: the runtime, the same for every appliance, and the appliance itself.
import { resolve } from 'node:path'
import { hostFile } from '@pkg/image/file-source'
import { FileTree } from '@pkg/image/tree'
import type { LoadedAppliance } from '../config/load.ts'
import type { Architecture } from '../host/system.ts'
import type { Kernel } from '../kernel.ts'
import { bundle } from './bundle.ts'
import { etcFiles } from './etc-files.ts'
import { addFiles } from './files.ts'
import { addRuntimeLibraries } from './libraries.ts'
import { type AddedModules, addModules } from './modules.ts'
import { makePlan, serviceFolder, usersOf } from './plan.ts'
import { stub } from './stub.ts'

/** What the trees are made of, besides the configuration. */
export interface Ingredients {
  readonly architecture: Architecture
  readonly kernel: Kernel
  /** The Bun binary. */
  readonly bun: string
  /** Folder with the pinned glibc. */
  readonly glibc: string
}

/** Bun and the libraries that it needs. */
export async function runtimeTree({ bun, glibc }: Pick<Ingredients, 'bun' | 'glibc'>): Promise<FileTree> {
  const tree = new FileTree()
  tree.add({ path: '/bin/bun', type: 'file', mode: 0o755, content: await hostFile(bun) })
  await addRuntimeLibraries(tree, { path: '/bin/bun', source: bun }, glibc)
  return tree
}

/** Everything else: stub, init, services, modules, files, and the folders that have to exist. */
export async function applianceTree(
  { config, folder, file: configFile }: LoadedAppliance,
  ingredients: Ingredients,
  runtime: FileTree,
): Promise<{ tree: FileTree; modules: AddedModules }> {
  const { architecture, kernel, glibc } = ingredients
  const tree = new FileTree()
  for (const path of ['/proc', '/sys', '/dev', '/run', '/var', '/mnt']) tree.add({ path, type: 'directory' })
  tree.add({ path: '/tmp', type: 'directory', mode: 0o1777 })
  tree.add({ path: '/root', type: 'directory', mode: 0o700 })
  // Opened by the kernel as PID 1's standard input and output, before anything is mounted on /dev.
  tree.add({ path: '/dev/console', type: 'char', major: 5, minor: 1 })
  tree.add({ path: '/init', type: 'file', mode: 0o755, content: stub(architecture) })
  addTexts(tree, etcFiles(config, usersOf(config)))
  addTexts(tree, new Map([['/etc/solo/plan.json', `${JSON.stringify(makePlan(config), undefined, 2)}\n`]]))
  // Its content is known when the network is up.
  tree.add({ path: '/etc/resolv.conf', type: 'symlink', target: '/run/resolv.conf' })
  const init = await bundle(Bun.resolveSync('@pkg/init/main', import.meta.dirname), 'init', {
    bytecode: true,
  })
  for (const [name, content] of init) {
    tree.add({ path: `/sbin/${name.replace(/^index\.js/, 'init.js')}`, type: 'file', content })
  }
  for (const [index, { name, entry }] of config.services.entries()) {
    if (entry === undefined) continue
    const files = await bundle(resolve(folder, entry), `${configFile}: services[${index}].entry`)
    for (const [file, content] of files) {
      tree.add({ path: `${serviceFolder(name)}/${file}`, type: 'file', content })
    }
  }
  const sysroot = resolve(folder, config.sysroot ?? '/')
  await addFiles(tree, config.files ?? [], { folder, configFile, architecture, glibc, sysroot, runtime })
  const modules = await addModules(tree, kernel, config.modules ?? [], configFile)
  return { tree, modules }
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
