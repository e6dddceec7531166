import { describe, expect, test } from 'vitest'
import { boot, objectionsTo, type BootOptions } from '../../src/boot.ts'
import { UnsupportedError } from '../../src/errors.ts'
import { privateNetwork } from '../../src/network.ts'

describe('boot() refuses before anything is started', () => {
  test.each<[string, BootOptions, RegExp]>([
    ['an unknown backend', { backend: 'xen' as never }, /backend: xen is not one of 'auto', 'namespace'/],
    ['an unknown need', { needs: ['sound' as never] }, /needs: sound is not one of 'kernel'/],
    ['a relative place of a share', { shares: [{ host: '.', guest: 'here' }] }, /shares\[0\]\.guest: here/],
    ['a place above the root', { shares: [{ host: '.', guest: '/a/../b' }] }, /shares\[0\]\.guest/],
    ['an init without a path', { init: ['sh'] }, /init: sh is not an absolute path/],
    ['an initrd without its kernel', { initrd: '/x' }, /initrd: needs kernel/],
    ['an end mark beside the agent', { endMark: /done/ }, /endMark/],
    ['a snapshot without the agent', { init: ['/bin/true'], snapshot: true }, /snapshot: needs the agent/],
    ['a guest that waits for a debugger who is not told', { gdb: 'wait' }, /gdb: 'wait' needs onGdb/],
    ['a time that is none', { hangTimeoutMs: 0 }, /hangTimeoutMs: 0/],
  ])('%s', async (_what, options, message) => {
    await expect(boot(options)).rejects.toThrow(message)
  })

  test('a restored guest on a private network, whose address would be there twice', async () => {
    using network = privateNetwork()
    const options: BootOptions = { snapshot: true, networks: [{ kind: 'private', network }] }
    await expect(boot(options)).rejects.toThrow(/addresses of their own/)
  })

  test('what a backend cannot do, with the reason', async () => {
    const refusal = boot({ backend: 'uml', cpus: 4, gdb: true })
    await expect(refusal).rejects.toBeInstanceOf(UnsupportedError)
    await expect(refusal).rejects.toThrow(
      /uml: cpus: User Mode Linux has one processor[^]*uml: gdb: only 'qemu' has it/,
    )
  })
})

test("objectionsTo() gives a backend's reasons, and none where it can", async () => {
  expect(await objectionsTo('namespace', { needs: ['clock', 'reboot'] })).toEqual([
    {
      backend: 'namespace',
      feature: "needs 'clock'",
      reason: "the clock is the host's; 'uml' and 'qemu' have their own",
    },
  ])
  expect(await objectionsTo('namespace', { needs: ['reboot'] })).toEqual([])
})
