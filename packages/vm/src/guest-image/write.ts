/** A guest's root in the forms that its kernel can take: a root image with a small initramfs, an initramfs, a folder. */
import { createWriteStream } from 'node:fs'
import { chmod, mkdir, symlink } from 'node:fs/promises'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { writeCpio } from '@pkg/image/cpio'
import { writeErofs } from '@pkg/image/erofs'
import { hostFile, readContent } from '@pkg/image/file-source'
import type { ClosureModule } from '@pkg/image/modules'
import { FileTree, type TreeNode } from '@pkg/image/tree'
import { bootStub } from '@pkg/sys/boot-stub'
import type { Architecture } from '../machine.ts'
import { staticProgram } from '../process-machine/static-program.ts'
import { GUEST_ENVIRONMENT } from './environment.ts'
import { stage1, STAGE1_FOLDERS } from './stage1.ts'

/** PID 1 and its arguments. */
export type InitCommand = readonly [program: string, ...args: string[]]

/** How PID 1 is started. */
export interface Init {
  /** Its program and arguments. */
  readonly command: InitCommand
  /** Variables besides those of {@link GUEST_ENVIRONMENT}. */
  readonly env: Readonly<Record<string, string>>
}

/** The large file comes first: most blocks of the image then stay where they are when others change. */
const rank = ({ path }: { path: string }): number => (path === '/bin/bun' ? 0 : 1)

/** Writes `tree` as an EROFS image. */
export async function writeRootImage(tree: FileTree, file: string): Promise<void> {
  // Any will do, and its own id would cost one more pass over all files.
  const uuid = '00000000-0000-0000-0000-000000000000'
  await pipeline(Readable.from(writeErofs(tree, { uuid, rank })), createWriteStream(file))
}

/** Writes the initramfs that mounts a root image and executes `init` in it. */
export async function writeStage1(
  modules: readonly ClosureModule[],
  { command, env }: Init,
  architecture: Architecture,
  file: string,
): Promise<void> {
  const tree = new FileTree()
  for (const path of STAGE1_FOLDERS) tree.add({ path, type: 'directory' })
  addConsole(tree)
  const paths: string[] = []
  for (const { name, source } of modules) {
    const path = `/${name}.ko`
    tree.add({ path, type: 'file', content: await hostFile(source) })
    paths.push(path)
  }
  const program = stage1({ modules: paths, init: command, environment: { ...GUEST_ENVIRONMENT, ...env } })
  tree.add({ path: '/init', type: 'file', mode: 0o755, content: staticProgram(program, architecture) })
  await writeArchive(tree, file)
}

/** Writes an initramfs that is itself the root: for kernels that cannot mount a root image. */
export async function writeInitramfs(
  tree: FileTree,
  { command: [program, ...args], env }: Init,
  architecture: Architecture,
  file: string,
): Promise<void> {
  const stub = staticProgram(bootStub({ program, args, env: { ...GUEST_ENVIRONMENT, ...env } }), architecture)
  tree.add({ path: '/init', type: 'file', mode: 0o755, content: stub })
  addConsole(tree)
  await writeArchive(tree, file)
}

/** Opened by the kernel as PID 1's standard input and output, before anything is mounted on /dev. */
function addConsole(tree: FileTree): void {
  tree.add({ path: '/dev/console', type: 'char', major: 5, minor: 1 })
}

/** Uncompressed: under TCG unpacking costs more than the bytes do, and not every kernel has zstd. */
async function writeArchive(tree: FileTree, file: string): Promise<void> {
  await pipeline(Readable.from(writeCpio(tree)), createWriteStream(file))
}

/** Writes `tree` into a new folder, without owners and times. */
export async function writeFolder(tree: FileTree, folder: string): Promise<void> {
  await mkdir(folder)
  for (const node of tree) await writeNode(node, join(folder, node.path))
}

async function writeNode(node: TreeNode, path: string): Promise<void> {
  if (node.type === 'directory') await mkdir(path, { recursive: true })
  else if (node.type === 'symlink') await symlink(node.target, path)
  else if (node.type === 'file') {
    await pipeline(Readable.from(readContent(node.content, node.path)), createWriteStream(path))
  } else throw new TypeError(`${node.path}: a folder cannot have a ${node.type} without root`)
  // The umask does not apply to this.
  if (node.type !== 'symlink') await chmod(path, node.mode)
}
