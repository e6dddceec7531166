// What errors add to EPERM and ENOSYS, with the kernel's own refusals; the tables agree with what the docs say.
import { globSync, readFileSync } from 'node:fs'
import { release } from 'node:os'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import ts from 'typescript'
import * as c from '../src/constants.ts'
import { capabilityNumbers, firstKernel, hintFor, neededCapability } from '../src/errno/hints.ts'
import { getpid } from '../src/process.ts'
import { scriptResult } from './child-script.ts'

describe('errors', () => {
  test('of EPERM say which capability the thread lacks, and nothing when it has it', () => {
    const found = scriptResult(
      `
      import { mount } from '@pkg/sys/mount'
      import { sethostname } from '@pkg/sys/system'
      import { kill } from '@pkg/sys/process'
      import { setresuid } from '@pkg/sys/thread'
      import * as c from '@pkg/sys/constants'
      import { openat } from '@pkg/sys/fs'
      import { prlimit64 } from '@pkg/sys/limits'
      import { prctl_cap_ambient_raise, prctl_capbset_drop } from '@pkg/sys/prctl'
      import { socket } from '@pkg/sys/socket'
      import { fremovexattr, fsetxattr } from '@pkg/sys/xattr'
      using file = openat(c.AT_FDCWD, '/tmp', c.O_TMPFILE | c.O_RDWR, 0o600)
      const message = (action) => { try { action(); return 'done' } catch (error) { return error.message } }
      process.stdout.write(JSON.stringify([
        message(() => mount('tmpfs', '/mnt', 'tmpfs')),
        message(() => sethostname('x')),
        message(() => setresuid(0, 0, 0)),
        message(() => kill(1, 0)),
        message(() => socket(c.AF_PACKET, c.SOCK_DGRAM, 0)),
        message(() => socket(c.AF_INET, c.SOCK_RAW | c.SOCK_NONBLOCK, 1)),
        message(() => prlimit64(0, c.RLIMIT_NOFILE, { soft: 2 ** 22, hard: 2 ** 22 })),
        message(() => prctl_capbset_drop(c.CAP_SYS_BOOT)),
        message(() => fsetxattr(file, 'trusted.solo', new Uint8Array(1))),
        message(() => fsetxattr(file, 'security.capability', Uint8Array.of(1, 0, 0, 2, ...new Uint8Array(16)))),
        message(() => fremovexattr(file, 'trusted.solo')),
        message(() => prctl_cap_ambient_raise(c.CAP_CHOWN)),
      ]))`,
      { wrapper: ['setpriv', '--reuid', '61184', '--clear-groups'] },
    )
    expect(found).toEqual([
      'mount /mnt: EPERM: Operation not permitted (this thread lacks CAP_SYS_ADMIN)',
      'sethostname x: EPERM: Operation not permitted (this thread lacks CAP_SYS_ADMIN)',
      'setresuid: EPERM: Operation not permitted (this thread lacks CAP_SETUID)',
      'kill 1: EPERM: Operation not permitted (this thread lacks CAP_KILL)',
      'socket: EPERM: Operation not permitted (this thread lacks CAP_NET_RAW)',
      'socket: EPERM: Operation not permitted (this thread lacks CAP_NET_RAW)',
      'prlimit64: EPERM: Operation not permitted (this thread lacks CAP_SYS_RESOURCE)',
      'prctl: EPERM: Operation not permitted (this thread lacks CAP_SETPCAP)',
      'fsetxattr trusted.solo: EPERM: Operation not permitted (this thread lacks CAP_SYS_ADMIN)',
      'fsetxattr security.capability: EPERM: Operation not permitted (this thread lacks CAP_SETFCAP)',
      'fremovexattr trusted.solo: EPERM: Operation not permitted (this thread lacks CAP_SYS_ADMIN)',
      // Of another meaning of the same call, which no capability allows.
      'prctl: EPERM: Operation not permitted',
    ])
    // As root, before and after the first call of the process.
    getpid()
    expect(hintFor('EPERM', 'mount')).toBeUndefined()
    expect(hintFor('ENOENT', 'mount')).toBeUndefined()
  })

  test('of ENOSYS say since which kernel, or that something refuses a call that this kernel has', () => {
    const found = scriptResult(`
      import * as c from '@pkg/sys/constants'
      import { openat2 } from '@pkg/sys/fs'
      import { prctl_set_no_new_privs } from '@pkg/sys/prctl'
      import { seccomp_set_mode_filter, seccompErrno, seccompFilter } from '@pkg/sys/seccomp'
      prctl_set_no_new_privs()
      seccomp_set_mode_filter(seccompFilter({ rules: [{ calls: ['openat2'], action: seccompErrno('ENOSYS') }] }))
      const message = (action) => { try { action(); return 'done' } catch (error) { return error.message } }
      process.stdout.write(JSON.stringify(message(() => openat2(c.AT_FDCWD, '/', { flags: c.O_RDONLY }))))`)
    const refused = `Linux ${release()} has it: a seccomp filter or the kernel's configuration refuses it`
    expect(found).toBe(`openat2 /: ENOSYS: Function not implemented (${refused})`)
    // Of an older kernel, as the same words would be there.
    const older = scriptResult(`
      import { hintFor, setProbe } from '${join(import.meta.dirname, '../src/errno/hints.ts')}'
      setProbe({ effective: () => 0n, release: () => '5.4.0-100-generic' })
      process.stdout.write(JSON.stringify(['openat2', 'pidfd_open', 'read'].map((name) => hintFor('ENOSYS', name) ?? null)))`)
    expect(older).toEqual([
      'since Linux 5.6; this is 5.4.0-100-generic',
      `Linux 5.4.0-100-generic has it: a seccomp filter or the kernel's configuration refuses it`,
      null,
    ])
  })
})

test('the tables of hints agree with the documentation, and name capabilities that there are', () => {
  const wrong: string[] = []
  // Calls of many meanings: what they need depends on the request.
  const many = new Set(['ioctl', 'prctl', 'bpf', 'socket', 'seccomp', 'file_setattr'])
  const source = join(import.meta.dirname, '../src')
  for (const path of globSync('**/*.ts', { cwd: source })) {
    const tree = ts.createSourceFile(
      path,
      readFileSync(join(source, path), 'utf8'),
      ts.ScriptTarget.Latest,
      true,
    )
    for (const statement of tree.statements) {
      const [doc] = ts.getJSDocCommentsAndTags(statement)
      const text = doc === undefined ? '' : (ts.getTextOfJSDocComment(doc.comment) ?? '')
      const [head = ''] = text.split(' — ')
      const capability = /Needs: (CAP_\w+)/.exec(text)?.[1]
      const since = /Since: Linux (\d+\.\d+)/.exec(text)?.[1]
      for (const [, name = ''] of text.includes(' — ') ? head.matchAll(/`(\w+)[(`]/g) : []) {
        if (many.has(name)) continue
        if (capability !== undefined && neededCapability(name) !== capability)
          wrong.push(`${name}: ${capability}`)
        if (since !== undefined && Number(since[0]) >= 5 && firstKernel(name) !== since)
          wrong.push(`${name}: ${since}`)
      }
    }
  }
  expect(wrong).toEqual([])
  expect(neededCapability('mount')).toBe('CAP_SYS_ADMIN')
  expect(c).toMatchObject(capabilityNumbers())
  expect(Object.keys(capabilityNumbers())).toContain(neededCapability('mount'))
})
