// Landlock: a process gives up rights to files and ports, without privilege.
import {
  LANDLOCK_CREATE_RULESET_VERSION,
  LANDLOCK_RULE_NET_PORT,
  LANDLOCK_RULE_PATH_BENEATH,
} from './generated/constants/security.ts'
import { check } from './errno.ts'
import { type AsFd, fdNumber, OwnedFd } from './fd.ts'
import { bind } from './raw.ts'
import { u32, u64 } from './raw/arguments.ts'
import { alloc } from './struct.ts'
import * as structs from './generated/structs/security.ts'

const raw = {
  createRuleset: bind('landlock_create_ruleset', 'ptr', 'int', 'int'),
  addRule: bind('landlock_add_rule', 'int', 'int', 'ptr', 'int'),
  restrictSelf: bind('landlock_restrict_self', 'int', 'int'),
}

/**
 * `landlock_create_ruleset(NULL, 0, LANDLOCK_CREATE_RULESET_VERSION)` — which version of Landlock the kernel has: what
 * it can handle grows with it.
 *
 * @throws {@link SysError} `ENOSYS` before Linux 5.13; `EOPNOTSUPP` switched off at boot
 * @see https://man7.org/linux/man-pages/man2/landlock_create_ruleset.2.html
 */
export function landlock_abi_version(): number {
  return check(raw.createRuleset(null, 0, LANDLOCK_CREATE_RULESET_VERSION), 'landlock_create_ruleset')
}

/** What a ruleset takes away, but for what its rules allow: `struct landlock_ruleset_attr`. */
export interface LandlockRulesetAttr {
  /** LANDLOCK_ACCESS_FS_*. */
  handled_access_fs?: number | bigint
  /** LANDLOCK_ACCESS_NET_*. Since version 4. */
  handled_access_net?: number | bigint
  /** LANDLOCK_SCOPE_*. Since version 6. */
  scoped?: number | bigint
}

/**
 * `landlock_create_ruleset(attr, size, flags)` — begins a set of rules. Since: Linux 5.13.
 *
 * @throws {@link SysError} `EINVAL`, `E2BIG` rights that this kernel cannot handle; `ENOMSG` none at all
 * @see https://man7.org/linux/man-pages/man2/landlock_create_ruleset.2.html
 *
 * @example
 * ```ts no-run
 * import { AT_FDCWD, LANDLOCK_ACCESS_FS_WRITE_FILE, O_PATH } from '@pkg/sys/constants'
 * import { openat } from '@pkg/sys/fs'
 * import { landlock_add_rule_path, landlock_create_ruleset, landlock_restrict_self } from '@pkg/sys/landlock'
 * import { prctl_set_no_new_privs } from '@pkg/sys/prctl'
 *
 * using ruleset = landlock_create_ruleset({ handled_access_fs: LANDLOCK_ACCESS_FS_WRITE_FILE })
 * using folder = openat(AT_FDCWD, '/tmp', O_PATH)
 * landlock_add_rule_path(ruleset, LANDLOCK_ACCESS_FS_WRITE_FILE, folder)
 * prctl_set_no_new_privs()
 * landlock_restrict_self(ruleset) // this thread writes in /tmp only
 * ```
 */
export function landlock_create_ruleset(attr: LandlockRulesetAttr, flags = 0): OwnedFd {
  const struct = alloc(structs.landlock_ruleset_attr)
  struct.set('handled_access_fs', u64(attr.handled_access_fs ?? 0, 'handled_access_fs'))
  struct.set('handled_access_net', u64(attr.handled_access_net ?? 0, 'handled_access_net'))
  struct.set('scoped', u64(attr.scoped ?? 0, 'scoped'))
  // The kernel takes a larger struct than it knows as long as the rest is zero.
  const result = raw.createRuleset(struct.bytes, struct.bytes.length, u32(flags, 'flags'))
  return new OwnedFd(check(result, 'landlock_create_ruleset'))
}

/**
 * `landlock_add_rule(ruleset_fd, LANDLOCK_RULE_PATH_BENEATH, attr, flags)` — allows `allowedAccess` to what is below
 * `parent`.
 *
 * @param allowedAccess - LANDLOCK_ACCESS_FS_*, of those that the ruleset handles
 * @param parent - a folder or file, best opened with O_PATH
 * @throws {@link SysError} `EINVAL` rights that the ruleset does not handle; `EBADFD` no such file
 * @see https://man7.org/linux/man-pages/man2/landlock_add_rule.2.html
 */
export function landlock_add_rule_path(
  ruleset: AsFd,
  allowedAccess: number | bigint,
  parent: AsFd,
  flags = 0,
): void {
  const struct = alloc(structs.landlock_path_beneath_attr)
  struct.set('allowed_access', u64(allowedAccess, 'allowedAccess'))
  struct.set('parent_fd', fdNumber(parent))
  const fd = fdNumber(ruleset)
  check(raw.addRule(fd, LANDLOCK_RULE_PATH_BENEATH, struct.bytes, u32(flags, 'flags')), 'landlock_add_rule')
}

/**
 * `landlock_add_rule(ruleset_fd, LANDLOCK_RULE_NET_PORT, attr, flags)` — allows `allowedAccess` to a port. Since:
 * Linux 6.7.
 *
 * @param allowedAccess - LANDLOCK_ACCESS_NET_BIND_TCP, LANDLOCK_ACCESS_NET_CONNECT_TCP …
 * @throws {@link SysError} `EINVAL` rights that the ruleset does not handle, or no such port
 * @see https://man7.org/linux/man-pages/man2/landlock_add_rule.2.html
 */
export function landlock_add_rule_port(
  ruleset: AsFd,
  allowedAccess: number | bigint,
  port: number,
  flags = 0,
): void {
  const struct = alloc(structs.landlock_net_port_attr)
  struct.set('allowed_access', u64(allowedAccess, 'allowedAccess'))
  struct.set('port', u64(port, 'port'))
  const fd = fdNumber(ruleset)
  check(raw.addRule(fd, LANDLOCK_RULE_NET_PORT, struct.bytes, u32(flags, 'flags')), 'landlock_add_rule')
}

/**
 * `landlock_restrict_self(ruleset_fd, flags)` — enforces the rules from now on, for good, and for all children.
 *
 * Changes the calling thread alone, but for LANDLOCK_RESTRICT_SELF_TSYNC (Linux 7.0). Needs: no_new_privs (see
 * `prctl_set_no_new_privs`) or CAP_SYS_ADMIN.
 *
 * @throws {@link SysError} `EPERM` without either; `E2BIG` more than 16 rulesets
 * @see https://man7.org/linux/man-pages/man2/landlock_restrict_self.2.html
 */
export function landlock_restrict_self(ruleset: AsFd, flags = 0): void {
  check(raw.restrictSelf(fdNumber(ruleset), u32(flags, 'flags')), 'landlock_restrict_self')
}
