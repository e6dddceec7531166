// Shared memory, semaphores and queues in an IPC namespace of their own, seen in /proc/sysvipc and by other processes.
import { expect, test } from 'vitest'
import { scriptResult } from './child-script.ts'

const prelude = `
  import { readFileSync } from 'node:fs'
  import * as c from '@pkg/sys/constants'
  import * as ipc from '@pkg/sys/sysv-ipc'
  import * as mq from '@pkg/sys/message-queue'
  const code = (action) => { try { action(); return 'none' } catch (error) { return error.code ?? error.name } }
  const done = (value) => process.stdout.write(JSON.stringify(value))
  const rows = (kind) => readFileSync('/proc/sysvipc/' + kind, 'utf8').trim().split('\\n').slice(1)
    .map((line) => line.trim().split(/\\s+/).map(Number))
  const text = (bytes) => new TextDecoder().decode(bytes)
  const bytes = (value) => new TextEncoder().encode(value)
`
const inNamespace = (code: string): unknown => scriptResult(prelude + code, { wrapper: ['unshare', '-ri'] })

test('shmget(), shmat(), shmctl_stat() and shmctl_rmid(): one memory, attached twice', () => {
  const result = inNamespace(`
    const id = ipc.shmget(77, 8192, c.IPC_CREAT | 0o600)
    const first = ipc.shmat(id), second = ipc.shmat(id, c.SHM_RDONLY)
    first.bytes[5000] = 9
    const found = [second.bytes[5000], first.bytes.length, ipc.shmctl_stat(id), rows('shm')[0].slice(0, 4), rows('shm')[0][6]]
    second[Symbol.dispose]()
    found.push(ipc.shmctl_stat(id).shm_nattch)
    ipc.shmctl_rmid(id); first[Symbol.dispose]()
    done([...found, rows('shm').length, code(() => ipc.shmat(id)), code(() => ipc.shmget(78, 1, 0)), code(() => ipc.shmat(id, 0o40000))])`)
  expect(result).toEqual([
    9,
    8192,
    { shm_segsz: 8192, shm_nattch: 2 },
    [77, expect.any(Number), 600, 8192],
    2,
    1,
    0,
    'EINVAL',
    'ENOENT',
    'RangeError',
  ])
})

test('semget(), semop(), semtimedop() and semctl_getval() and its like: values that wait', () => {
  const result = inNamespace(`
    const id = ipc.semget(c.IPC_PRIVATE, 3, 0o600)
    ipc.semctl_setval(id, 1, 5)
    ipc.semop(id, [{ sem_num: 1, sem_op: -2 }, { sem_num: 2, sem_op: 7 }])
    const found = [ipc.semctl_getall(id), ipc.semctl_getval(id, 1), ipc.semctl_getpid(id, 2) === process.pid,
      ipc.semctl_getncnt(id, 0), rows('sem')[0].slice(2, 4)]
    found.push(code(() => ipc.semop(id, [{ sem_num: 1, sem_op: -9, sem_flg: c.IPC_NOWAIT }])), code(() => ipc.semtimedop(id, [{ sem_num: 0, sem_op: -1 }], 2000000n)))
    ipc.semtimedop(id, [{ sem_num: 2, sem_op: -7 }], 1000000n)
    ipc.semctl_setall(id, [1, 2, 3])
    found.push(ipc.semctl_getall(id), code(() => ipc.semctl_setall(id, [1])), code(() => ipc.semop(id, [{ sem_num: 0, sem_op: 40000 }])))
    ipc.semctl_rmid(id)
    done([...found, rows('sem').length, code(() => ipc.semctl_getval(id, 0))])`)
  expect(result).toEqual([
    [0, 3, 7],
    3,
    true,
    0,
    [600, 3],
    'EAGAIN',
    'EAGAIN',
    [1, 2, 3],
    'RangeError',
    'RangeError',
    0,
    'EINVAL',
  ])
})

test('msgget(), msgsnd(), msgrcv(), msgctl_stat() and msgctl_rmid(): messages by their type', () => {
  const result = inNamespace(`
    const id = ipc.msgget(c.IPC_PRIVATE, 0o600)
    ipc.msgsnd(id, 3, bytes('three')); ipc.msgsnd(id, 1, bytes('')); ipc.msgsnd(id, 2, bytes('zwei'))
    const found = [ipc.msgctl_stat(id), rows('msg')[0].slice(3, 5)]
    const take = (...args) => { const { type, content } = ipc.msgrcv(id, ...args); return [type, text(content)] }
    found.push(code(() => take(2, 3)), take(2, 3, c.MSG_NOERROR), take(10, -2), take(10))
    found.push(code(() => take(10, 0, c.IPC_NOWAIT)), code(() => ipc.msgsnd(id, 0, bytes('x'))), code(() => ipc.msgsnd(id, 1, 'x')))
    ipc.msgctl_rmid(id)
    done([...found, rows('msg').length])`)
  expect(result).toEqual([
    { msg_cbytes: 9, msg_qnum: 3 },
    [9, 3],
    'E2BIG',
    [3, 'th'],
    [1, ''],
    [2, 'zwei'],
    'ENOMSG',
    'EINVAL',
    'TypeError',
    0,
  ])
})

test('mq_open(), mq_timedsend(), mq_timedreceive(), mq_getattr(), mq_setattr() and mq_unlink(): a queue by priority', () => {
  const result = inNamespace(`
    using queue = mq.mq_open('/solo', c.O_RDWR | c.O_CREAT, 0o600, { mq_maxmsg: 3, mq_msgsize: 16 })
    mq.mq_timedsend(queue, bytes('low'), 1); mq.mq_timedsend(queue, bytes('high'), 9); mq.mq_timedsend(queue, bytes('low2'), 1)
    const found = [mq.mq_getattr(queue), code(() => mq.mq_timedsend(queue, bytes('x'), 0, 1n))]
    mq.mq_setattr(queue, c.O_NONBLOCK)
    found.push(mq.mq_getattr(queue).mq_flags === c.O_NONBLOCK, code(() => mq.mq_timedsend(queue, bytes('x'))))
    using other = mq.mq_open('/solo', c.O_RDONLY | c.O_NONBLOCK)
    for (let i = 0; i < 3; i++) { const { message, priority } = mq.mq_timedreceive(other); found.push([text(message), priority]) }
    found.push(code(() => mq.mq_timedreceive(other)), code(() => mq.mq_timedsend(queue, new Uint8Array(17))))
    mq.mq_unlink('/solo')
    done([...found, code(() => mq.mq_open('/solo', c.O_RDONLY)), code(() => mq.mq_open('solo', 0)), code(() => mq.mq_unlink('/a/b'))])`)
  expect(result).toEqual([
    { mq_flags: 0, mq_maxmsg: 3, mq_msgsize: 16, mq_curmsgs: 3 },
    'ETIMEDOUT',
    true,
    'EAGAIN',
    ['high', 9],
    ['low', 1],
    ['low2', 1],
    'EAGAIN',
    'EMSGSIZE',
    'ENOENT',
    'TypeError',
    'TypeError',
  ])
})

test('mq_notify() sends a signal with its value when a message comes', () => {
  const result = inNamespace(`
    import { watchSignals } from '@pkg/sys/signal'
    const queue = mq.mq_open('/told', c.O_RDWR | c.O_CREAT | c.O_NONBLOCK, 0o600)
    const watch = watchSignals([46], ({ code, value, pid }) => { watch[Symbol.dispose](); queue.close()
      done([code, value, pid === process.pid]) })
    mq.mq_notify(queue, 46, 1234)
    mq.mq_timedsend(queue, bytes('x'))`)
  // SI_MESGQ is −3.
  expect(result).toEqual([-3, 1234, true])
})
