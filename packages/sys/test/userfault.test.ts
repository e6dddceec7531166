// Page faults of a thread, answered by another: in processes of their own, which a mistake would have sleep for ever.
import { expect, test } from 'vitest'
import * as c from '../src/constants.ts'
import { memfd_create, pipe2, write } from '../src/io.ts'
import { userfaultEvents } from '../src/userfault.ts'
import { scriptResult } from './child-script.ts'

const prelude = `
  import * as c from '@pkg/sys/constants'
  import { ppoll } from '@pkg/sys/event'
  import { ftruncate, memfd_create } from '@pkg/sys/io'
  import { mmap } from '@pkg/sys/memory'
  import { pageSize } from '@pkg/sys/param'
  import * as u from '@pkg/sys/userfault'
  const page = pageSize()
  const code = (action) => { try { action(); return 'done' } catch (error) { return error.code ?? error.name } }
  const arrived = (fd) => ppoll([{ fd, events: c.POLLIN }], 20_000_000_000n)[0] === c.POLLIN
  // A thread that touches the memory at an address: it can only be told of it as a number.
  const worker = new Worker(URL.createObjectURL(new Blob([\`
    import { toArrayBuffer } from 'bun:ffi'
    self.onmessage = ({ data: [address, value] }) => {
      const bytes = new Uint8Array(toArrayBuffer(address, 0, 1))
      if (value !== undefined) bytes[0] = value
      postMessage(bytes[0])
    }
    postMessage('ready')\`])))
  const said = () => new Promise((resolve) => { worker.onmessage = ({ data }) => resolve(data) })
  await said()
  const done = (value) => { process.stdout.write(JSON.stringify(value, (_, one) => typeof one === 'bigint' ? Number(one) : one)); process.exit(0) }
`
const result = (code: string): unknown => scriptResult(prelude + code)

test('userfaultEvents() tells who touched what, ioctl_uffdio_wake() lets it go on, ioctl_uffdio_unregister() ends it', () => {
  const found = result(`
    using fd = u.userfaultfd(c.UFFD_FEATURE_THREAD_ID, c.O_NONBLOCK)
    using memory = mmap({ lengthBytes: 4 * page })
    u.ioctl_uffdio_register(fd, memory, c.UFFDIO_REGISTER_MODE_MISSING)
    const before = u.userfaultEvents(fd)
    let answer = said()
    worker.postMessage([memory.address + page])
    const found = [before, arrived(fd)]
    const [event, ...others] = u.userfaultEvents(fd)
    found.push(event.event, event.flags, Number(event.address) - memory.address === page, others.length)
    found.push(event.ptid !== process.pid && event.ptid > 0)
    u.ioctl_uffdio_copy(fd, memory, page, new Uint8Array(page).fill(7), c.UFFDIO_COPY_MODE_DONTWAKE)
    const early = await Promise.race([answer, Bun.sleep(200).then(() => 'sleeps')])
    u.ioctl_uffdio_wake(fd, memory, page, page)
    found.push(early, await answer)
    // By writing.
    answer = said()
    worker.postMessage([memory.address + 2 * page, 9])
    arrived(fd)
    found.push(u.userfaultEvents(fd)[0].flags)
    u.ioctl_uffdio_unregister(fd, memory)
    found.push(await answer, memory.bytes[2 * page], code(() => u.ioctl_uffdio_copy(fd, memory, 0, new Uint8Array(page))))
    done(found)`)
  expect(found).toEqual([
    [],
    true,
    'pagefault',
    0,
    true,
    0,
    true,
    'sleeps',
    7,
    c.UFFD_PAGEFAULT_FLAG_WRITE,
    9,
    9,
    'ENOENT',
  ])
})

test('ioctl_uffdio_writeprotect() has a write told, and lets it happen', () => {
  const found = result(`
    using fd = u.userfaultfd(c.UFFD_FEATURE_PAGEFAULT_FLAG_WP, c.O_NONBLOCK)
    using memory = mmap({ lengthBytes: page })
    memory.bytes[0] = 1
    u.ioctl_uffdio_register(fd, memory, c.UFFDIO_REGISTER_MODE_WP)
    u.ioctl_uffdio_writeprotect(fd, memory, 0, page, c.UFFDIO_WRITEPROTECT_MODE_WP)
    const answer = said()
    worker.postMessage([memory.address, 5])
    const found = [arrived(fd)]
    const [{ flags }] = u.userfaultEvents(fd)
    found.push((flags & BigInt(c.UFFD_PAGEFAULT_FLAG_WP)) !== 0n, memory.bytes[0])
    u.ioctl_uffdio_writeprotect(fd, memory, 0, page, 0)
    found.push(await answer, memory.bytes[0], code(() => u.ioctl_uffdio_writeprotect(fd, memory, 0, 2 * page, 0)))
    done(found)`)
  expect(found).toEqual([true, true, 1, 5, 5, 'RangeError'])
})

test('ioctl_uffdio_continue() lets a page of a file appear in another mapping of it', () => {
  const found = result(`
    using fd = u.userfaultfd(c.UFFD_FEATURE_MINOR_SHMEM, c.O_NONBLOCK)
    using file = memfd_create('pages', 0)
    ftruncate(file, 2 * page)
    using here = mmap({ lengthBytes: 2 * page, flags: c.MAP_SHARED, fd: file })
    using there = mmap({ lengthBytes: 2 * page, flags: c.MAP_SHARED, fd: file })
    here.bytes[0] = 3
    u.ioctl_uffdio_register(fd, there, c.UFFDIO_REGISTER_MODE_MINOR)
    const answer = said()
    worker.postMessage([there.address])
    const found = [arrived(fd)]
    const [{ flags }] = u.userfaultEvents(fd)
    here.bytes[0] = 4
    u.ioctl_uffdio_continue(fd, there, 0, page)
    found.push(flags, await answer, there.bytes[0], code(() => u.ioctl_uffdio_continue(fd, there, 0, page)))
    done([...found, code(() => u.ioctl_uffdio_continue(fd, there, page, page))])`)
  expect(found).toEqual([true, c.UFFD_PAGEFAULT_FLAG_MINOR, 4, 4, 'EEXIST', 'EFAULT'])
})

test('userfaultEvents() refuses what another file says', () => {
  using file = memfd_create('none', 0)
  expect(userfaultEvents(file)).toEqual([])
  const pipe = pipe2(c.O_NONBLOCK)
  using reading = pipe.read
  using writing = pipe.write
  expect(userfaultEvents(reading)).toEqual([])
  // As if a child had been made, whose descriptor were 2: it would be closed.
  const forged = new Uint8Array(32)
  forged.set([c.UFFD_EVENT_FORK, 0, 0, 0, 0, 0, 0, 0, 2])
  write(writing, forged)
  expect(() => userfaultEvents(reading)).toThrow(TypeError)
})
