// The folder in which the host's apt works for a build.
import { readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { openApt } from '../src/apt/private-apt.ts'
import { testFolder } from './support/folder.ts'

test('openApt() leaves its files as they are when there are such already: apt would read all lists again', async () => {
  using folder = testFolder()
  const states = (): string[] => {
    const [apt = ''] = readdirSync(join(folder.path, 'apt'))
    return ['apt.conf', 'status'].map((name) => {
      const { ino, mtimeNs, size } = statSync(join(folder.path, 'apt', apt, name), { bigint: true })
      return `${name} ${ino} ${mtimeNs} ${size}`
    })
  }
  const options = { cache: folder.path, suite: 'bookworm', architecture: 'amd64' }
  await openApt(options)
  const before = states()
  await openApt(options)
  expect(states()).toEqual(before)
})
