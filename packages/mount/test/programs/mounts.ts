// Mounts inside a namespace of its own, and prints what happened to each step as JSON.
import { execFileSync } from 'node:child_process'
import { mkdirSync, openSync, closeSync, readFileSync, symlinkSync, writeFileSync, existsSync } from 'node:fs'
import { join } from 'node:path'
import {
  bindMount,
  changePropagation,
  mount,
  mountTmpfs,
  moveMount,
  remount,
  setMountAttributes,
} from '@pkg/mount/mount'
import { findMount, readMountinfo, watchMounts } from '@pkg/mount/mountinfo'
import { unmount } from '@pkg/mount/unmount'

const folder = process.argv[2] ?? ''
const at = (name: string): string => join(folder, name)
const results: Record<string, unknown> = {}
function record(name: string, action: () => unknown): void {
  try {
    const value = action()
    results[name] = value === undefined ? 'done' : value
  } catch (error) {
    results[name] = error instanceof Error ? error.message.replaceAll(folder, '') : String(error)
  }
}
const options = (target: string): string => findMount(readMountinfo(), target)?.options ?? ''
const superblock = (target: string): string => findMount(readMountinfo(), target)?.superblockOptions ?? ''

// In memory on top, so that nothing is left on the disk.
mountTmpfs({ target: folder, sizeBytes: 1 << 20, mode: 0o700 })
for (const name of ['a', 'b', 'c', 'd', 'with blank']) mkdirSync(at(name))

record('tmpfs', () => [superblock(folder), options(folder)])
record('mount', () =>
  mount({
    source: 'mine',
    target: at('a'),
    type: 'tmpfs',
    options: 'ro,nosuid,noexec,noatime,size=64k,nr_inodes=10',
  }),
)
record('mounted', () => {
  const found = findMount(readMountinfo(), at('a'))
  return [
    found?.source,
    found?.type,
    found?.options,
    found?.superblockOptions.split(',').slice(0, 3).join(','),
  ]
})
record('findmnt', () =>
  execFileSync('findmnt', ['-n', '-o', 'SOURCE,VFS-OPTIONS', at('a')], { encoding: 'utf8' })
    .trim()
    .replace(/ +/g, ' '),
)
record('bad option', () => mount({ target: at('b'), type: 'tmpfs', options: 'size=64k,nonsense=1' }))
record('bad value', () => mount({ source: 'x', target: at('b'), type: 'tmpfs', options: 'mode=zzz' }))
record('bad type', () => mount({ source: '/dev/null', target: at('b'), type: 'nosuchfs', options: 'ro' }))
record('no target', () => mount({ source: 'x', target: at('none'), type: 'tmpfs' }))
record('write read-only', () => writeFileSync(join(at('a'), 'f'), ''))
record('remount', () => remount({ target: at('a'), options: 'rw,size=128k' }))
record('remounted', () => [options(at('a')), superblock(at('a')).split(',').slice(0, 2).join(',')])
record('write', () => writeFileSync(join(at('a'), 'f'), 'content'))
record('remount busy', () => {
  const fd = openSync(join(at('a'), 'f'), 'w')
  try {
    remount({ target: at('a'), options: 'ro' })
  } finally {
    closeSync(fd)
  }
})
record('unmount busy', () => {
  const fd = openSync(join(at('a'), 'f'), 'r')
  try {
    unmount({ target: at('a') })
  } finally {
    closeSync(fd)
  }
})
record('bind', () => bindMount({ source: at('a'), target: at('b'), options: 'ro,nodev' }))
record('bound', () => [options(at('b')), options(at('a')), existsSync(join(at('b'), 'f'))])
record('bind superblock option', () => bindMount({ source: at('a'), target: at('c'), options: 'size=1m' }))
record('attributes', () => setMountAttributes({ target: at('b'), options: 'rw,noexec,atime' }))
record('attributes set', () => options(at('b')))
record('attributes not a mount', () => setMountAttributes({ target: at('c'), options: 'ro' }))
record('move', () => {
  changePropagation({ target: folder, propagation: 'private' })
  moveMount({ source: at('b'), target: at('c') })
  return readMountinfo()
    .filter((one) => one.target.startsWith(folder))
    .map((one) => one.target.replace(folder, ''))
})
record('move not a mount', () => moveMount({ source: at('b'), target: at('d') }))
record('propagation', () => {
  changePropagation({ target: at('a'), propagation: 'shared' })
  const shared = findMount(readMountinfo(), at('a'))?.propagation.map((one) => one.replace(/\d+/, 'N'))
  changePropagation({ target: at('a'), propagation: 'unbindable' })
  return [shared, findMount(readMountinfo(), at('a'))?.propagation]
})
record('recursive bind', () => {
  changePropagation({ target: at('a'), propagation: 'private' })
  mkdirSync(join(at('a'), 'sub'))
  mountTmpfs({ target: join(at('a'), 'sub') })
  bindMount({ source: at('a'), target: at('d'), recursive: true, options: 'ro' })
  return [options(at('d')), options(join(at('d'), 'sub'))].map((one) => one.split(',')[0])
})
record('lazy', () => {
  const fd = openSync(join(at('d'), 'f'), 'r')
  unmount({ target: at('d'), lazy: true })
  closeSync(fd)
})
record('unmount not a mount', () => unmount({ target: at('d') }))
record('blank', () => {
  mountTmpfs({ target: at('with blank') })
  return findMount(readMountinfo(), join(at('with blank'), 'x'))?.target.replace(folder, '')
})
record('bad size', () => mountTmpfs({ target: at('d'), sizeBytes: 0 }))
record('symbolic links', () => {
  symlinkSync(at('d'), at('link'))
  mountTmpfs({ target: at('link') })
  const mounted = findMount(readMountinfo(), at('d'))?.target
  unmount({ target: at('d') })
  bindMount({ source: at('c'), target: at('link') })
  const bound = findMount(readMountinfo(), at('d'))?.target
  unmount({ target: at('d') })
  symlinkSync(at('with blank'), at('from'))
  moveMount({ source: at('from'), target: at('link') })
  const moved = findMount(readMountinfo(), at('d'))?.target
  unmount({ target: at('d') })
  return [mounted, bound, moved].map((target) => target?.replace(folder, ''))
})
record('long value', () => {
  const layers = Array.from({ length: 8 }, (_, index) => at(`layer-${index}-${'y'.repeat(40)}`))
  for (const layer of layers) mkdirSync(layer)
  mount({ source: 'o', target: at('d'), type: 'overlay', options: `lowerdir=${layers.join(':')},nosuid` })
  const found = findMount(readMountinfo(), at('d'))
  unmount({ target: at('d') })
  return [found?.type, found?.options]
})
record('proc', () => readFileSync('/proc/self/comm', 'utf8').length > 0)

const stop = new AbortController()
const counts: number[] = []
for await (const mounts of watchMounts({ signal: stop.signal })) {
  counts.push(mounts.length)
  if (counts.length === 1) setTimeout(() => mountTmpfs({ target: at('d') }), 50)
  else if (counts.length === 2) setTimeout(() => unmount({ target: at('d') }), 50)
  else setTimeout(() => stop.abort(), 50)
}
results['watched'] = counts.map((count) => count - (counts[0] ?? 0))
process.stdout.write(JSON.stringify(results))
process.exit(0)
