// Binds and remounts where the newer calls are missing (strace makes them ENOSYS); prints options as JSON.
import { mkdirSync } from 'node:fs'
import { bindMount, mountTmpfs, remount } from '@pkg/mount/mount'
import { findMount, readMountinfo } from '@pkg/mount/mountinfo'

const folder = process.argv[2] ?? ''
const options = (name: string): string =>
  findMount(readMountinfo(), `${folder}/${name}`)?.options.replace('relatime', 'rel') ?? ''
mountTmpfs({ target: folder, options: 'nosuid,nodev,noexec,noatime' })
for (const name of ['a/sub', 'b', 'c', 'e', 'e/sub', 'f']) mkdirSync(`${folder}/${name}`, { recursive: true })
mountTmpfs({ target: `${folder}/a/sub` })
const results: Record<string, unknown> = {}
bindMount({ source: `${folder}/a`, target: `${folder}/b`, recursive: true, options: 'ro' })
results['recursive'] = [options('b'), options('b/sub')]
bindMount({ source: `${folder}/a/sub`, target: `${folder}/c`, options: 'noexec' })
results['bind'] = options('c')
remount({ target: `${folder}/c`, options: 'noatime' })
results['noatime'] = options('c')
remount({ target: `${folder}/c`, options: 'relatime,suid' })
results['relatime'] = options('c')
remount({ target: `${folder}/a/sub`, options: 'size=64k' })
results['size'] = [options('a/sub'), findMount(readMountinfo(), `${folder}/a/sub`)?.superblockOptions]
// The lower of two mounts at one place cannot be reached by a path.
mountTmpfs({ target: `${folder}/e/sub` })
mountTmpfs({ target: `${folder}/e/sub` })
try {
  bindMount({ source: `${folder}/e`, target: `${folder}/f`, recursive: true, options: 'ro' })
  results['hidden'] = 'reported success'
} catch (error) {
  results['hidden'] = [(error as { code: string }).code, options('f')]
}
process.stdout.write(JSON.stringify(results))
process.exit(0)
