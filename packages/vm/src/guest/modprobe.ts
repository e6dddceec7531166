/**
 * The program at /sbin/modprobe of a guest. The kernel runs it, as `/sbin/modprobe -q -- NAME`, for what it lacks: the
 * file system that is to be mounted, a protocol, a cipher. Programs can call it too.
 */
import { requestedModules } from '@pkg/image/modules'
import { canonicalName } from './load-order.ts'
import { loadModules, moduleIndex } from './modules.ts'

/**
 * Loads the module that the arguments of modprobe(8) name, by name or alias, with its parameters and all that it needs.
 *
 * @returns the exit status: 0 when it is there now
 */
export function modprobe(args: readonly string[]): number {
  const options = args.filter((word) => word.startsWith('-'))
  const unknown = options.find((word) => !['-q', '--quiet', '--'].includes(word))
  const [request, ...parameters] = args.filter((word) => !word.startsWith('-'))
  if (unknown !== undefined || request === undefined)
    return fail('usage: modprobe [-q] [--] MODULE [PARAMETER=VALUE…]')
  const index = moduleIndex()
  if (index?.builtin.some((name) => canonicalName(name) === canonicalName(request))) return 0
  const names = index === undefined ? [] : requestedModules(index, request)
  const isQuiet = options.includes('-q') || options.includes('--quiet')
  if (index === undefined || names.length === 0)
    return isQuiet ? 1 : fail(`${request}: no such module in this guest's image (option \`modules\` of boot)`)
  const problems = loadModules(index, names, parameters.join(' '))
  return problems.length === 0 ? 0 : fail(problems.join('; '))
}

function fail(message: string): number {
  process.stderr.write(`modprobe: ${message}\n`)
  return 1
}
