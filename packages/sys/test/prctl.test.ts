// Meanings of prctl(2) that are of the process's memory and its threads, beside /proc.
import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import * as c from '../src/constants.ts'
import { mmap } from '../src/memory.ts'
import * as p from '../src/prctl.ts'
import { spawn } from '../src/spawn.ts'
import { scriptResult } from './child-script.ts'

function codeOf(action: () => unknown): unknown {
  try {
    return action()
  } catch (error) {
    return (error as { code?: string }).code ?? (error as Error).name
  }
}

test('prctl_set_vma_anon_name() names a mapping in /proc/self/maps, where the kernel keeps names', () => {
  using mapping = mmap({ lengthBytes: 4096 })
  const line = (): string | undefined =>
    readFileSync('/proc/self/maps', 'utf8')
      .split('\n')
      .find((one) => one.startsWith(mapping.address.toString(16).padStart(8, '0')))
  const named = codeOf(() => p.prctl_set_vma_anon_name(mapping, 'solo'))
  // Without CONFIG_ANON_VMA_NAME it is no operation of prctl(2).
  expect([undefined, 'EINVAL']).toContain(named)
  if (named === undefined) expect(line()).toContain('[anon:solo]')
  expect(codeOf(() => p.prctl_set_vma_anon_name(mapping, 'a$b'))).toBe('EINVAL')
  expect(codeOf(() => p.prctl_set_vma_anon_name(mapping, 'a\0b'))).toBe('TypeError')
  expect(codeOf(() => p.prctl_set_vma_anon_name({ ...mapping }, 'solo'))).toBe('TypeError')
  codeOf(() => p.prctl_set_vma_anon_name(mapping, null))
  expect(line()).not.toContain('solo')
})

test('prctl_set_mdwe() and prctl_get_mdwe(): memory that was written never becomes code', () => {
  const found = scriptResult(`
    import * as c from '@pkg/sys/constants'
    import { mmap, mprotect } from '@pkg/sys/memory'
    import { prctl_get_mdwe, prctl_set_mdwe } from '@pkg/sys/prctl'
    const code = (action) => { try { action(); return 'done' } catch (error) { return error.code } }
    const tryIt = () => { using memory = mmap({ lengthBytes: 4096 }); return code(() => mprotect(memory, c.PROT_READ | c.PROT_EXEC)) }
    const found = [prctl_get_mdwe(), tryIt(), code(() => prctl_set_mdwe(8))]
    prctl_set_mdwe(c.PR_MDWE_REFUSE_EXEC_GAIN)
    found.push(prctl_get_mdwe(), tryIt(), code(() => prctl_set_mdwe(0)))
    process.stdout.write(JSON.stringify(found))`)
  expect(found).toEqual([0, 'done', 'EINVAL', 1, 'EACCES', 'EPERM'])
})

test('prctl_mce_kill() and prctl_mce_kill_get() are of the thread', () => {
  const found = scriptResult(`
    import * as c from '@pkg/sys/constants'
    import { prctl_mce_kill, prctl_mce_kill_get } from '@pkg/sys/prctl'
    const found = [prctl_mce_kill_get()]
    for (const policy of [c.PR_MCE_KILL_EARLY, c.PR_MCE_KILL_LATE, null]) {
      prctl_mce_kill(policy)
      found.push(prctl_mce_kill_get())
    }
    let code; try { prctl_mce_kill(9) } catch (error) { code = error.code }
    process.stdout.write(JSON.stringify([...found, code]))`)
  expect(found).toEqual([
    c.PR_MCE_KILL_DEFAULT,
    c.PR_MCE_KILL_EARLY,
    c.PR_MCE_KILL_LATE,
    c.PR_MCE_KILL_DEFAULT,
    'EINVAL',
  ])
})

// arm64 has it since Linux 6.12.
test.runIf(process.arch === 'x64')(
  'prctl_get_tsc(): a step of spawn forbids what this process may',
  async () => {
    expect(p.prctl_get_tsc()).toBe(c.PR_TSC_ENABLE)
    using child = spawn({
      file: '/bin/true',
      env: {},
      stdio: ['null', 'null', 'null'],
      setup: (steps) => void steps.call('prctl', c.PR_SET_TSC, c.PR_TSC_SIGSEGV, 0, 0, 0),
    })
    await child.wait()
    expect(p.prctl_get_tsc()).toBe(c.PR_TSC_ENABLE)
  },
)
