// The small initramfs of a disk: stage 1, which is one static program, and the drivers by which it finds its root.
import { writeCpio } from '@pkg/image/cpio'
import { hostFile } from '@pkg/image/file-source'
import { moduleClosure } from '@pkg/image/modules'
import { FileTree } from '@pkg/image/tree'
import type { Assembly } from '../build/assembly.ts'
import { withTime } from '../build/tree.ts'
import { initEnvironment } from '../build/stub.ts'
import { stage1, stage1Elf, stage1Folders, stage1ModulesOf } from '../stage1.ts'
import { Origins } from '../sbom/origins.ts'
import type { ImagePart } from '../sbom/spdx.ts'
import type { SealedRoot } from './root.ts'

/** PID 1 tells it every ten seconds that all is well; a boot under load has to fit in as well. */
const WATCHDOG_SECONDS = 60

/** Before `/init` in the order of an archive: what every build changes lies behind what seldom does. */
const DRIVERS = '/drivers'

/** The archive, not compressed: a changed byte in a compressed one would change all of it; and what is in it. */
export async function stage1Initramfs(
  assembly: Assembly,
  root: SealedRoot,
): Promise<{ bytes: Uint8Array; part: ImagePart }> {
  const { config, kernel, architecture, mtimeSeconds, sources } = assembly
  const [tree, origins] = [new FileTree(), new Origins()]
  for (const path of stage1Folders) tree.add({ path, type: 'directory' })
  tree.add({ path: '/dev/console', type: 'char', major: 5, minor: 1 })
  const drivers: string[] = []
  if (kernel.modulesFolder !== undefined) {
    const { modulesFolder, release } = kernel
    const optional = stage1ModulesOf[config.profile ?? 'all']
    const { modules } = await moduleClosure({ modulesFolder, release, wanted: [], optional })
    for (const { name, source } of modules) {
      const path = `${DRIVERS}/${name}.ko`
      tree.add({ path, type: 'file', content: await hostFile(source) })
      drivers.push(path)
    }
  }
  origins.claim(tree, sources.kernel)
  const { rootHash, salt, dataBlocks, hashStartBlock } = root.verity
  const program = stage1({
    modules: drivers,
    rootImageId: root.imageId,
    verity: { rootHash, salt: Buffer.from(salt).toString('hex'), dataBlocks, hashStartBlock },
    init: ['/bin/bun', '/sbin/init.js'],
    environment: initEnvironment,
    watchdogSeconds: WATCHDOG_SECONDS,
  })
  tree.add({ path: '/init', type: 'file', mode: 0o755, content: stage1Elf(program, architecture) })
  origins.claim(tree, [sources.solo])
  const bytes = Buffer.concat(await Array.fromAsync(writeCpio(withTime(tree, mtimeSeconds))))
  return { bytes, part: { name: 'initramfs', tree, origins } }
}
