/** A root folder for namespace guests in tests: busybox, and nothing else. */
import { chmodSync, chownSync, copyFileSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** The folder; gone with `using`. */
export function busyboxRoot(owner: number = 0): { folder: string } & Disposable {
  const folder = mkdtempSync(join(tmpdir(), 'solo-vm-test-'))
  chmodSync(folder, 0o755)
  mkdirSync(join(folder, 'bin'))
  copyFileSync('/bin/busybox', join(folder, 'bin/busybox'))
  // Of an unprivileged guest nobody of the host's is root but who started it (in these tests nobody, 65534).
  if (process.getuid?.() === 0)
    for (const path of [folder, join(folder, 'bin')]) chownSync(path, owner, owner)
  return { folder, [Symbol.dispose]: () => rmSync(folder, { recursive: true, force: true }) }
}
