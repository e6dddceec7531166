// On which memory nodes pages are.
import { check } from './errno.ts'
import { liveMapping } from './memory/mapping.ts'
import type { Mapping } from './memory.ts'
import { bind } from './raw.ts'
import { s32, size, u32 } from './raw/arguments.ts'

const raw = {
  mbind: bind('mbind', 'int', 'int', 'int', 'ptr', 'int', 'int'),
  getMempolicy: bind('get_mempolicy', 'ptr', 'ptr', 'int', 'int', 'int'),
  setMempolicy: bind('set_mempolicy', 'int', 'ptr', 'int'),
  homeNode: bind('set_mempolicy_home_node', 'int', 'int', 'int', 'int'),
  movePages: bind('move_pages', 'int', 'int', 'ptr', 'ptr', 'ptr', 'int'),
  migratePages: bind('migrate_pages', 'int', 'int', 'ptr', 'ptr'),
}

/** Room for 1024 nodes, the most that a kernel is built for (`MAX_NUMNODES`); the call counts one bit more. */
const nodesMax = 1024

function nodeMask(nodes: readonly number[]): Uint8Array {
  const mask = new Uint8Array(new ArrayBuffer(nodesMax / 8 + 8))
  for (const node of nodes) {
    if (!Number.isInteger(node) || node < 0 || node >= nodesMax) throw new RangeError(`not a node: ${node}`)
    mask[node >> 3] = (mask[node >> 3] ?? 0) | (1 << (node & 7))
  }
  return mask
}

/** A policy and the nodes that it is about. */
export interface MemoryPolicy {
  /** MPOL_DEFAULT, MPOL_PREFERRED, MPOL_BIND, MPOL_INTERLEAVE, MPOL_LOCAL …, with MPOL_F_STATIC_NODES … */
  mode: number
  /** Node numbers. */
  nodes: number[]
}

/**
 * `mbind(addr, size, mode, nodemask, maxnode, flags)` — sets from which nodes a mapping's pages come.
 *
 * @param flags - MPOL_MF_STRICT, MPOL_MF_MOVE
 * @throws {@link SysError} `EINVAL` no such node or policy; `EIO` MPOL_MF_STRICT, and pages are elsewhere
 * @see https://man7.org/linux/man-pages/man2/mbind.2.html
 */
export function mbind(mapping: Mapping, policy: MemoryPolicy, flags = 0): void {
  const { address, bytes } = liveMapping(mapping)
  const mode = u32(policy.mode, 'mode')
  const nodes = nodeMask(policy.nodes)
  check(raw.mbind(address, bytes.length, mode, nodes, nodesMax + 1, u32(flags, 'flags')), 'mbind')
}

/**
 * `get_mempolicy(mode, nodemask, maxnode, addr, flags)` — the calling thread's policy, or that of a mapping.
 *
 * @throws {@link SysError} `EFAULT`
 * @see https://man7.org/linux/man-pages/man2/get_mempolicy.2.html
 */
export function get_mempolicy(mapping?: Mapping): MemoryPolicy {
  const MPOL_F_ADDR = 2
  const mode = new Int32Array(new ArrayBuffer(8))
  const mask = nodeMask([])
  const address = mapping === undefined ? 0 : liveMapping(mapping).address
  const flags = mapping === undefined ? 0 : MPOL_F_ADDR
  check(raw.getMempolicy(mode, mask, nodesMax + 1, address, flags), 'get_mempolicy')
  const nodes = Array.from({ length: nodesMax }, (_, node) => node)
  return {
    mode: mode[0] ?? 0,
    nodes: nodes.filter((node) => ((mask[node >> 3] ?? 0) & (1 << (node & 7))) !== 0),
  }
}

/**
 * `set_mempolicy(mode, nodemask, maxnode)` — sets from which nodes the calling thread's pages come. This thread alone.
 *
 * @throws {@link SysError} `EINVAL` no such node or policy
 * @see https://man7.org/linux/man-pages/man2/set_mempolicy.2.html
 */
export function set_mempolicy(policy: MemoryPolicy): void {
  const result = raw.setMempolicy(u32(policy.mode, 'mode'), nodeMask(policy.nodes), nodesMax + 1)
  check(result, 'set_mempolicy')
}

/**
 * `set_mempolicy_home_node(start, size, home_node, flags)` — the node that a mapping with MPOL_BIND or
 * MPOL_PREFERRED_MANY prefers. Since: Linux 5.17.
 *
 * @throws {@link SysError} `ENOENT` the mapping has no policy; `EOPNOTSUPP` one that knows no home; `EINVAL`
 * @see https://docs.kernel.org/admin-guide/mm/numa_memory_policy.html
 */
export function set_mempolicy_home_node(mapping: Mapping, node: number): void {
  const { address, bytes } = liveMapping(mapping)
  const page = 4096
  const whole = Math.ceil(bytes.length / page) * page
  check(raw.homeNode(address, whole, size(node, 'node'), 0), 'set_mempolicy_home_node')
}

/**
 * `move_pages(pid, count, pages, nodes, status, flags)` — on which node each page of a mapping is, after moving it to
 * `node` where one is given; −errno for a page that is nowhere (−2; −14 before Linux 6.12) or could not be moved.
 *
 * @throws {@link SysError} `ENODEV` no such node; `EACCES`
 * @see https://man7.org/linux/man-pages/man2/move_pages.2.html
 */
export function move_pages(mapping: Mapping, node?: number): number[] {
  const { address, bytes } = liveMapping(mapping)
  const count = Math.ceil(bytes.length / 4096)
  const pages = new BigUint64Array(new ArrayBuffer(8 * count))
  for (let index = 0; index < count; index++) pages[index] = BigInt(address + index * 4096)
  const status = new Int32Array(new ArrayBuffer(4 * count))
  const nodes = node === undefined ? null : new Int32Array(new ArrayBuffer(4 * count)).fill(u32(node, 'node'))
  const MPOL_MF_MOVE = 2
  check(raw.movePages(0, count, pages, nodes, status, node === undefined ? 0 : MPOL_MF_MOVE), 'move_pages')
  return [...status]
}

/**
 * `migrate_pages(pid, maxnode, old_nodes, new_nodes)` — moves the pages of a process from some nodes to others; returns
 * how many could not be moved.
 *
 * @param pid - 0 for this process
 * @throws {@link SysError} `EPERM`; `EINVAL` no such node; `ESRCH`
 * @see https://man7.org/linux/man-pages/man2/migrate_pages.2.html
 */
export function migrate_pages(pid: number, from: readonly number[], to: readonly number[]): number {
  return check(raw.migratePages(s32(pid, 'pid'), nodesMax + 1, nodeMask(from), nodeMask(to)), 'migrate_pages')
}
