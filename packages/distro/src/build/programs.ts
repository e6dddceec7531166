// A service whose program is not in the image would fail on every boot; it is found here instead.
import { contentSizeBytes, readContent } from '@pkg/image/file-source'
import type { FileTree, TreeNode } from '@pkg/image/tree'
import type { LoadedAppliance } from '../config/load.ts'
import { ConfigError, type Problem } from '../error.ts'
import { commandOf } from './plan.ts'

/**
 * Checks that the program of each service is in the image and can be executed, its interpreter too.
 *
 * @throws ConfigError naming the services and what to do
 */
export async function checkPrograms(
  { config, file }: LoadedAppliance,
  trees: readonly FileTree[],
): Promise<void> {
  const problems: Problem[] = []
  for (const [index, service] of config.services.entries()) {
    const program = commandOf(service)[0] as string
    const message = await whatIsWrong(program, trees)
    if (message !== undefined) {
      problems.push({ path: `services[${index}].command[0]`, message: `service ${service.name}: ${message}` })
    }
  }
  if (problems.length > 0) throw new ConfigError(file, problems)
}

async function whatIsWrong(program: string, trees: readonly FileTree[]): Promise<string | undefined> {
  const node = find(program, trees)
  if (node === undefined) {
    return `${program} is not in the image: add it with files: [{ from: '…', to: '${program}' }]`
  }
  if (node.type !== 'file') return `${program} is a ${node.type} in the image, expected a program`
  if ((node.mode & 0o111) === 0) return `${program} cannot be executed: set mode: 0o755 in files`
  const interpreter = await scriptInterpreter(node)
  if (interpreter === undefined || find(interpreter, trees) !== undefined) return undefined
  return `${program} is a script for ${interpreter}, which is not in the image: add that with files`
}

/** The program of a script's first line. @see https://man7.org/linux/man-pages/man2/execve.2.html */
async function scriptInterpreter(node: TreeNode & { type: 'file' }): Promise<string | undefined> {
  if (contentSizeBytes(node.content) < 2) return undefined
  for await (const chunk of readContent(node.content, node.path)) {
    // BINPRM_BUF_SIZE is 256 (linux/binfmts.h): the kernel looks no further.
    const line = new TextDecoder('latin1').decode(chunk.subarray(0, 256)).split('\n')[0] as string
    return line.startsWith('#!') ? line.slice(2).trim().split(/\s/)[0] : undefined
  }
  return undefined
}

/** The node that a path leads to, symbolic links followed; undefined when it leads nowhere. */
function find(path: string, trees: readonly FileTree[], depth = 0): TreeNode | undefined {
  // ELOOP after 40 links, path_resolution(7)
  if (depth > 40) return undefined
  let at = ''
  const parts = path.split('/').filter((part) => part !== '' && part !== '.')
  for (const [index, part] of parts.entries()) {
    if (part === '..') {
      at = at.slice(0, Math.max(0, at.lastIndexOf('/')))
      continue
    }
    const next = `${at}/${part}`
    const node = trees.map((tree) => tree.get(next)).find((each) => each !== undefined)
    if (node === undefined) return undefined
    const rest = parts.slice(index + 1)
    if (node.type === 'hardlink') return find([node.linkTo, ...rest].join('/'), trees, depth + 1)
    if (node.type === 'symlink') {
      const target = node.target.startsWith('/') ? node.target : `${at}/${node.target}`
      return find([target, ...rest].join('/'), trees, depth + 1)
    }
    if (rest.length === 0) return node
    at = next
  }
  return undefined
}
