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
    ['a time that setTimeout cannot keep', { timeoutMs: 1e10 }, /timeoutMs: 10000000000 is not a time/],
    ['a time that is no number', { silenceTimeoutMs: '9' as never }, /silenceTimeoutMs: 9 is not a number/],
    ['a time that is not a number', { hangTimeoutMs: NaN }, /hangTimeoutMs: NaN is not a time/],
    ['an unknown option', { memory: 512 } as never, /memory: is no option; did you mean memoryMiB\?/],
    ['a mistyped option', { bakend: 'qemu' } as never, /bakend: is no option; did you mean backend\?/],
    ['an option like no other', { flavour: 1 } as never, /flavour: is no option$/],
    ['no processor', { cpus: 0 }, /cpus: 0 is not a whole number from 1/],
    ['less than no memory', { memoryMiB: -1 }, /memoryMiB: -1 is not a whole number from 1/],
    ['a disk of half a block', { disks: [{ sizeBytes: 1000 }] }, /disks\[0\]\.sizeBytes: 1000/],
    ['a disk of a bad name', { disks: [{ name: 'a b', sizeBytes: 512 }] }, /disks\[0\]\.name: "a b"/],
    [
      'two disks of one name',
      {
        disks: [
          { name: 'd', sizeBytes: 512 },
          { name: 'd', sizeBytes: 512 },
        ],
      },
      /disks\[1\]\.name: d is there twice/,
    ],
    ['a balloon beside a snapshot', { balloon: true, snapshot: true }, /balloon: not with a snapshot/],
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

test.each<[string, BootOptions, RegExp]>([
  ['qcow2', { disks: [{ file: '/disk.qcow2', format: 'qcow2' }] }, /the qcow2 file itself/],
  ['nine disks', { disks: Array.from({ length: 9 }, () => ({ sizeBytes: 512 })) }, /8 disks at most/],
  ['a balloon', { balloon: true }, /only 'qemu' has it/],
])("objectionsTo('uml') has %s", async (_what, options, reason) => {
  const reasons = (await objectionsTo('uml', options)).map((objection) => objection.reason)
  expect(reasons.join('\n')).toMatch(reason)
})

test('objectionsTo() refuses words that it does not know', async () => {
  await expect(objectionsTo('auto' as never)).rejects.toThrow(/backend: auto is not one of 'namespace'/)
  await expect(objectionsTo('qemu', { needs: ['sound' as never] })).rejects.toThrow(/needs: sound is not/)
})
