// Landlock: what a process can no longer do, and what its rules leave it.
import { expect, test } from 'vitest'
import * as sys from '../src/landlock.ts'
import { scriptResult } from './child-script.ts'

test('landlock_abi_version() is at least the first', () => {
  expect(sys.landlock_abi_version()).toBeGreaterThanOrEqual(1)
})

test('landlock_create_ruleset(), landlock_add_rule_path(), landlock_add_rule_port() and landlock_restrict_self() leave what is allowed', () => {
  const result = scriptResult(`
    import { mkdirSync, mkdtempSync } from 'node:fs'
    import * as c from '@pkg/sys/constants'
    import { AT_FDCWD } from '@pkg/sys/constants'
    import { mkdirat, openat } from '@pkg/sys/fs'
    import * as l from '@pkg/sys/landlock'
    import { prctl_set_no_new_privs } from '@pkg/sys/prctl'
    import { bind, socket } from '@pkg/sys/socket'
    const folder = mkdtempSync('/tmp/solo-landlock-')
    mkdirSync(folder + '/in'); mkdirSync(folder + '/out')
    const code = (action) => { try { action(); return 'none' } catch (error) { return error.code ?? error.name } }
    const make = c.LANDLOCK_ACCESS_FS_MAKE_DIR, tcp = c.LANDLOCK_ACCESS_NET_BIND_TCP
    using ruleset = l.landlock_create_ruleset({ handled_access_fs: make, handled_access_net: tcp })
    using parent = openat(AT_FDCWD, folder + '/in', c.O_PATH)
    l.landlock_add_rule_path(ruleset, make, parent)
    // Below the ports that the kernel gives to others.
    l.landlock_add_rule_port(ruleset, tcp, 21_234)
    const found = [code(() => l.landlock_add_rule_path(ruleset, c.LANDLOCK_ACCESS_FS_EXECUTE, parent)),
      code(() => l.landlock_add_rule_port(ruleset, tcp, 65536)), code(() => l.landlock_create_ruleset({})),
      code(() => l.landlock_create_ruleset({ handled_access_fs: 1n << 63n }))]
    prctl_set_no_new_privs()
    l.landlock_restrict_self(ruleset)
    const listen = (port) => { using s = socket(c.AF_INET, c.SOCK_STREAM, 0); bind(s, { family: c.AF_INET, address: '127.0.0.1', port }) }
    found.push(code(() => mkdirat(AT_FDCWD, folder + '/in/x', 0o700)), code(() => mkdirat(AT_FDCWD, folder + '/out/x', 0o700)))
    found.push(code(() => listen(21_234)), code(() => listen(21_235)))
    process.stdout.write(JSON.stringify(found))`)
  expect(result).toEqual(['EINVAL', 'EINVAL', 'ENOMSG', 'EINVAL', 'none', 'EACCES', 'none', 'EACCES'])
})
