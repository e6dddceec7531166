/**
 * Lets vitest's `forks` pool run under Bun: vitest calls `channel.ref()` and `channel.unref()` on
 * its children, which Bun's `ChildProcess` does not have. Use: `bun --preload` this file.
 */
import { ChildProcess } from 'node:child_process'

type Spawn = (this: ChildProcess, ...parameters: unknown[]) => unknown
type Channel = { ref?: () => void; unref?: () => void }

const prototype = ChildProcess.prototype as unknown as { spawn: Spawn }
const spawn = prototype.spawn
prototype.spawn = function (...parameters) {
  const result = spawn.apply(this, parameters)
  const channel = (this as unknown as { channel?: Channel | null }).channel
  if (channel) {
    channel.ref ??= () => {}
    channel.unref ??= () => {}
  }
  return result
}
