// What namespaces of tests leave in the tree of control groups.
import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'

/** Namespaces need root; where the tests run as somebody else, the set-up has needed sudo too. */
export const asRoot: readonly string[] = process.getuid?.() === 0 ? [] : ['sudo', '-n']

/** What a killed PID 1 has left; the kernel frees its processes' groups a moment after they are gone. */
export async function removeCgroup(name: string): Promise<void> {
  const mounts = execFileSync('findmnt', ['-n', '-o', 'TARGET', '-t', 'cgroup2'], { encoding: 'utf8' })
  const folder = join(mounts.split('\n')[0] ?? '', name)
  const [file, ...rest] = [...asRoot, 'find', folder, '-depth', '-type', 'd', '-delete']
  for (let tries = 50; tries > 0 && existsSync(folder); tries--) {
    spawnSync(file, rest)
    await setTimeout(20)
  }
}
