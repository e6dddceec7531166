/** Refuses options that no backend could ever follow, before anything is started. */
import { isAbsolute } from 'node:path'
import type { BootOptions, Share } from './options.ts'
import { NEED_WORDS } from './support.ts'

const BACKENDS = ['auto', 'namespace', 'uml', 'qemu']

/**
 * Checks what can be checked without a look at the machine.
 *
 * @throws TypeError, RangeError naming the option, what it is and what is expected
 */
export function checkOptions(options: BootOptions): void {
  const { backend = 'auto', needs = [], shares = [], init, initrd, endMark, snapshot = false } = options
  if (!BACKENDS.includes(backend))
    throw new TypeError(`backend: ${String(backend)} is not ${oneOf(BACKENDS)}`)
  for (const need of needs)
    if (!NEED_WORDS.includes(need)) throw new TypeError(`needs: ${String(need)} is not ${oneOf(NEED_WORDS)}`)
  const hasAgent = init === undefined && initrd === undefined
  if (init !== undefined && initrd !== undefined) throw new TypeError('init: an initrd brings its own init')
  if (init !== undefined && !isAbsolute(init[0]))
    throw new TypeError(`init: ${init[0]} is not an absolute path`)
  if (hasAgent && endMark !== undefined) throw new TypeError('endMark: the agent says its end mark by itself')
  if (!hasAgent && snapshot !== false)
    throw new TypeError('snapshot: needs the agent, which init and initrd replace')
  // Each would have the address that was saved.
  if (snapshot !== false && options.networks?.some(({ kind }) => kind === 'private'))
    throw new TypeError('snapshot: guests on a private network need addresses of their own: boot them anew')
  if (initrd !== undefined && (options.kernel === undefined || !('image' in options.kernel)))
    throw new TypeError("initrd: needs kernel: { image: 'path' } to go with it")
  if (options.gdb === 'wait' && options.onGdb === undefined)
    throw new TypeError("gdb: 'wait' needs onGdb: nobody would know where to attach before the guest runs")
  for (const [index, share] of shares.entries()) checkShare(`shares[${index}]`, share)
  const { hangTimeoutMs = 1 } = options
  if (!(hangTimeoutMs > 0)) throw new RangeError(`hangTimeoutMs: ${hangTimeoutMs} is not a time above 0`)
}

function checkShare(name: string, { host, guest }: Share): void {
  if (!isAbsolute(guest) || guest.split('/').includes('..'))
    throw new TypeError(`${name}.guest: ${guest} is not an absolute path without ..`)
  if (host === '') throw new TypeError(`${name}.host: is empty`)
}

function oneOf(words: readonly string[]): string {
  return `one of ${words.map((word) => `'${word}'`).join(', ')}`
}
