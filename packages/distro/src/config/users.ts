// Each service is a user of its own, whose number depends on the name alone: it stays the same from release
// to release, so that files in /var keep their owner.
import { createHash } from 'node:crypto'

/** systemd's range for such users, 61184 to 65519. @see https://systemd.io/UIDS-GIDS/ */
const firstUid = 61_184
const uidCount = 65_519 - firstUid + 1

/** The user id of a name: 0 for `root`, else by hash. */
export function stableUid(name: string): number {
  if (name === 'root') return 0
  return firstUid + (createHash('sha256').update(name).digest().readUInt32BE(0) % uidCount)
}

/** The agent's user. Its group may ask PID 1 and the updater: nobody else must be in it by chance. */
export const AGENT_USER = 'solo-agent'
