// Mistakes of the caller are told before any system call: none of these needs a privilege or a namespace.
import { expect, test } from 'vitest'
import {
  bindMount,
  changePropagation,
  mount,
  mountTmpfs,
  moveMount,
  remount,
  setMountAttributes,
} from '../src/mount.ts'
import { unmount } from '../src/unmount.ts'

const absolute = 'must be an absolute path, not "real"'
test.each<[string, () => void]>([
  [`mount: target ${absolute}`, () => mount({ target: 'real', type: 'tmpfs' })],
  ['mount: type must be a word', () => mount({ target: '/none', type: 'tm\0pfs' })],
  ['mount: source must be a word', () => mount({ source: 'a\0', target: '/none', type: 'tmpfs' })],
  ['mount: target must be a word', () => mount({ target: '/re\0al', type: 'tmpfs' })],
  [`bindMount: source ${absolute}`, () => bindMount({ source: 'real', target: '/none' })],
  [`bindMount: target ${absolute}`, () => bindMount({ source: '/none', target: 'real' })],
  [`remount: target ${absolute}`, () => remount({ target: 'real', options: 'ro' })],
  [`setMountAttributes: target ${absolute}`, () => setMountAttributes({ target: 'real', options: 'ro' })],
  [`moveMount: source ${absolute}`, () => moveMount({ source: 'real', target: '/none' })],
  [`moveMount: target ${absolute}`, () => moveMount({ source: '/none', target: 'real' })],
  [`mountTmpfs: target ${absolute}`, () => mountTmpfs({ target: 'real' })],
  ['mountTmpfs: mode must be', () => mountTmpfs({ target: '/none', mode: Number.NaN })],
  [`unmount: target ${absolute}`, () => unmount({ target: 'real' })],
  [
    'changePropagation: propagation must be one of shared, private, slave, unbindable, not "sharde"',
    () => changePropagation({ target: '/none', propagation: 'sharde' as 'shared' }),
  ],
])('%s', (message, run) => {
  expect(run).toThrow(message)
  expect(run).toThrow(TypeError)
})

test('mount() refuses options that mount(2) would cut off', () => {
  const options = `lowerdir=${'/x'.repeat(2100)}`
  expect(() => mount({ target: '/none', type: 'overlay', options })).toThrow(RangeError)
})
