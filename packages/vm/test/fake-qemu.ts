/** Programs that stand in for QEMU where a test needs one that fails in a certain way. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** A shell script as an executable file; gone with `using`. */
export function fakeQemu(script: string): { path: string; folder: string } & Disposable {
  const folder = mkdtempSync(join(tmpdir(), 'solo-vm-test-'))
  const path = join(folder, 'qemu-fake')
  writeFileSync(path, `#!/bin/sh\n${script}\n`, { mode: 0o755 })
  return { path, folder, [Symbol.dispose]: () => rmSync(folder, { recursive: true, force: true }) }
}
