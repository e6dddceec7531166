// Mappings, seen in /proc/self/smaps, numa_maps and by what touching them gives.
import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import * as c from '../src/constants.ts'
import { AT_FDCWD } from '../src/constants.ts'
import { openat } from '../src/fs.ts'
import { ftruncate, memfd_create, pread64, read } from '../src/io.ts'
import * as memory from '../src/memory.ts'
import * as numa from '../src/numa.ts'
import * as userfault from '../src/userfault.ts'
import { runScript, scriptResult } from './child-script.ts'

function codeOf(action: () => unknown): unknown {
  try {
    return action()
  } catch (error) {
    return (error as { code?: string }).code ?? (error as Error).name
  }
}
/** The lines about a mapping in /proc/self/smaps or numa_maps. */
function lines(file: 'smaps' | 'numa_maps', { address }: memory.Mapping): string {
  const text = readFileSync(`/proc/self/${file}`, 'utf8')
  const number = address.toString(16).padStart(file === 'smaps' ? 8 : 1, '0')
  // At the begin of a line: the mapping before it may end at the same address.
  const start = text.search(new RegExp(`^${number}`, 'm'))
  return text.slice(start, text.indexOf(file === 'smaps' ? 'VmFlags' : '\n', start) + 60)
}
const pages = (count: number): memory.Mapping => memory.mmap({ lengthBytes: count * 4096 })

describe('mappings', () => {
  test('mmap() gives its memory back at disposal: munmap', () => {
    const mapping = pages(3)
    const line = `${mapping.address.toString(16)}-`
    expect(readFileSync('/proc/self/maps', 'utf8')).toContain(line)
    mapping[Symbol.dispose]()
    expect(readFileSync('/proc/self/maps', 'utf8')).not.toContain(line)
    expect(() => memory.mprotect(mapping, c.PROT_READ)).toThrow(TypeError)
    const forged = { ...mapping, [Symbol.dispose]: () => undefined }
    expect(() => memory.madvise(forged, c.MADV_DONTNEED)).toThrow(TypeError)
  })

  test('mprotect() sets what may be done', () => {
    using mapping = memory.mmap({ lengthBytes: 4096, flags: c.MAP_SHARED | c.MAP_ANONYMOUS })
    memory.mprotect(mapping, c.PROT_READ)
    expect(lines('smaps', mapping).split('\n')[0]).toContain(' r--s ')
    memory.mprotect(mapping, c.PROT_READ | c.PROT_WRITE)
    mapping.bytes[0] = 1
    expect(codeOf(() => memory.mprotect(mapping, 0x1000))).toBe('EINVAL')
  })

  test('madvise() and mincore(): pages come when they are touched, and go', () => {
    using mapping = pages(4)
    expect([...memory.mincore(mapping)]).toEqual([0, 0, 0, 0])
    mapping.bytes[4096] = 7
    expect([...memory.mincore(mapping)]).toEqual([0, 1, 0, 0])
    memory.madvise(mapping, c.MADV_DONTNEED)
    expect(mapping.bytes[4096]).toBe(0)
    expect(codeOf(() => memory.madvise(mapping, 9999))).toBe('EINVAL')
  })

  test('mlock(), mlock2() and munlock() are Locked in smaps', () => {
    using mapping = pages(4)
    memory.mlock(mapping)
    expect(lines('smaps', mapping)).toMatch(/Locked: +16 kB/)
    memory.munlock(mapping)
    expect(lines('smaps', mapping)).toMatch(/Locked: +0 kB/)
    using lazy = pages(4)
    memory.mlock2(lazy, c.MLOCK_ONFAULT)
    lazy.bytes[0] = 1
    expect(lines('smaps', lazy)).toMatch(/Locked: +4 kB/)
    expect(codeOf(() => memory.mlock2(lazy, 99))).toBe('EINVAL')
  })

  test('mlockall() and munlockall() lock what is touched from then on', () => {
    const result = scriptResult(`
      import { readFileSync } from 'node:fs'
      import { MCL_CURRENT, MCL_FUTURE, MCL_ONFAULT, RLIMIT_MEMLOCK } from '@pkg/sys/constants'
      import { prlimit64 } from '@pkg/sys/limits'
      import { mlockall, munlockall } from '@pkg/sys/memory'
      const locked = () => Number(/VmLck:\\s+(\\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))[1])
      const before = locked()
      mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT)
      const during = locked()
      munlockall()
      process.stdout.write(JSON.stringify([before, during > 1000, locked()]))`)
    expect(result).toEqual([0, true, 0])
  })

  test('msync() writes a shared mapping of a file', () => {
    using file = memfd_create('synced', 0)
    ftruncate(file, 4096)
    using mapping = memory.mmap({ lengthBytes: 4096, flags: c.MAP_SHARED, fd: file })
    mapping.bytes[5] = 99
    memory.msync(mapping, 4)
    const back = new Uint8Array(1)
    pread64(file, back, 5)
    expect(back[0]).toBe(99)
    expect(codeOf(() => memory.msync(mapping, 5))).toBe('EINVAL')
  })

  test('mremap() moves what is in a mapping into a longer one', () => {
    const small = pages(1)
    small.bytes[10] = 5
    using large = memory.mremap(small, 64 * 4096)
    expect([large.bytes.length, large.bytes[10], large.bytes[4096]]).toEqual([64 * 4096, 5, 0])
    small[Symbol.dispose]()
    large.bytes[20_000] = 6
    expect(() => memory.mremap(small, 4096)).toThrow(TypeError)
    expect(() => memory.mremap(large, 0)).toThrow(RangeError)
    expect(codeOf(() => memory.mremap(large, 2 ** 46))).toBe('ENOMEM')
  })

  test('mseal() keeps a mapping from being changed', () => {
    const result = scriptResult(`
      import { PROT_READ } from '@pkg/sys/constants'
      import { mmap, mprotect, mseal } from '@pkg/sys/memory'
      const code = (action) => { try { action(); return 'none' } catch (error) { return error.code } }
      const mapping = mmap({ lengthBytes: 4096 })
      mseal(mapping)
      process.stdout.write(JSON.stringify([code(() => mprotect(mapping, PROT_READ)), code(() => mapping[Symbol.dispose]())]))`)
    expect(result).toEqual(['EPERM', 'EPERM'])
  })

  test('memfd_secret() is memory that can be mapped, and neither read nor written', () => {
    using file = memory.memfd_secret()
    ftruncate(file, 4096)
    using mapping = memory.mmap({ lengthBytes: 4096, flags: c.MAP_SHARED, fd: file })
    mapping.bytes[0] = 42
    expect(mapping.bytes[0]).toBe(42)
    expect(lines('smaps', mapping)).toContain('/secretmem')
    expect(codeOf(() => pread64(file, new Uint8Array(1), 0))).toMatch(/EINVAL|ESPIPE/)
    // Not even by way of /proc/self/mem.
    using mem = openat(AT_FDCWD, '/proc/self/mem', c.O_RDONLY)
    expect(codeOf(() => pread64(mem, new Uint8Array(1), mapping.address))).toBe('EIO')
    expect(codeOf(() => read(mem, new Uint8Array(0)))).toBe(0)
  })

  test('a disposed mapping that is touched ends the process, as the documentation says', () => {
    const { signal } = runScript(`
      import { mmap } from '@pkg/sys/memory'
      const mapping = mmap({ lengthBytes: 4096 * 1024 })
      mapping[Symbol.dispose]()
      mapping.bytes[0] = 1`)
    expect(signal).toMatch(/SIG(SEGV|BUS|TRAP|ABRT|ILL)/)
  })
})

describe('userfaultfd()', () => {
  test('pages are put into a registered mapping by ioctl_uffdio_copy() and ioctl_uffdio_zeropage()', () => {
    using fd = userfault.userfaultfd(0, c.O_NONBLOCK)
    using mapping = pages(3)
    userfault.ioctl_uffdio_register(fd, mapping, c.UFFDIO_REGISTER_MODE_MISSING)
    userfault.ioctl_uffdio_copy(fd, mapping, 4096, new Uint8Array(4096).fill(7))
    userfault.ioctl_uffdio_zeropage(fd, mapping, 8192, 4096)
    expect([mapping.bytes[4096], mapping.bytes[8191], mapping.bytes[8192]]).toEqual([7, 7, 0])
    expect([...memory.mincore(mapping)].slice(1)).toEqual([1, 1])
    expect(codeOf(() => userfault.ioctl_uffdio_copy(fd, mapping, 4096, new Uint8Array(4096)))).toBe('EEXIST')
    expect(codeOf(() => read(fd, new Uint8Array(32)))).toBe('EAGAIN')
    expect(() => userfault.ioctl_uffdio_copy(fd, mapping, 8192, new Uint8Array(8192))).toThrow(RangeError)
    expect(codeOf(() => userfault.userfaultfd(1n << 60n))).toBe('EINVAL')
  })
})

describe('memory nodes', () => {
  test('mbind(), get_mempolicy() and set_mempolicy_home_node() are what numa_maps shows', () => {
    using mapping = pages(4)
    numa.mbind(mapping, { mode: c.MPOL_BIND, nodes: [0] })
    mapping.bytes.fill(1)
    expect(lines('numa_maps', mapping)).toMatch(/ bind:0 .*anon=4/)
    expect(numa.get_mempolicy(mapping)).toEqual({ mode: c.MPOL_BIND, nodes: [0] })
    numa.set_mempolicy_home_node(mapping, 0)
    using other = pages(1)
    expect(codeOf(() => numa.set_mempolicy_home_node(other, 9999))).toBe('EINVAL')
    expect(codeOf(() => numa.mbind(other, { mode: c.MPOL_BIND, nodes: [] }))).toBe('EINVAL')
    expect(() => numa.mbind(other, { mode: c.MPOL_BIND, nodes: [1024] })).toThrow(RangeError)
  })

  test('set_mempolicy() is for this thread', () => {
    const result = scriptResult(`
      import { MPOL_DEFAULT, MPOL_PREFERRED } from '@pkg/sys/constants'
      import { get_mempolicy, set_mempolicy } from '@pkg/sys/numa'
      const before = get_mempolicy()
      set_mempolicy({ mode: MPOL_PREFERRED, nodes: [0] })
      const line = require('fs').readFileSync('/proc/thread-self/numa_maps', 'utf8').split('\\n')[0]
      process.stdout.write(JSON.stringify([before, get_mempolicy(), line.includes('prefer')]))`)
    expect(result).toEqual([{ mode: 0, nodes: [] }, { mode: 1, nodes: [0] }, true])
  })

  test('move_pages() and migrate_pages() say where pages are', () => {
    using mapping = pages(3)
    mapping.bytes[4096] = 1
    // A page that was never touched is ENOENT, EFAULT before Linux 6.12.
    const [before, touched, behind] = numa.move_pages(mapping)
    expect([touched, before === -2 || before === -14, behind]).toEqual([0, true, before])
    expect(numa.move_pages(mapping, 0)[1]).toBe(0)
    expect(codeOf(() => numa.move_pages(mapping, 999))).toBe('ENODEV')
    expect(numa.migrate_pages(0, [0], [0])).toBe(0)
    expect(codeOf(() => numa.migrate_pages(0x7fff_fffe, [0], [0]))).toBe('ESRCH')
  })
})
