// Constants as a file beside the agent: what functions in a guest get is what the module has.
import * as constants from '@pkg/sys/constants'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { agentBundle } from '../../src/guest-image/agent-bundle.ts'
import { constantsFile } from '../../src/guest-image/constants-file.ts'
import { constantsOf, type ConstantsFile } from '../../src/guest/constants.ts'
import { cacheFolder } from '../../src/host/cache.ts'

const file = JSON.parse(constantsFile()) as ConstantsFile

test("constantsOf() gives this architecture's constants as @pkg/sys/constants has them", () => {
  const here = process.arch === 'arm64' ? 'arm64' : 'x64'
  expect(constantsOf(file, here)).toEqual({ ...constants })
})

test('constantsOf() gives the values of either architecture, wherever the file was written', () => {
  // asm/fcntl.h of each.
  expect(constantsOf(file, 'x64')['O_DIRECTORY']).toBe(0x1_0000)
  expect(constantsOf(file, 'arm64')['O_DIRECTORY']).toBe(0x4000)
  expect(constantsOf(file, 'x64')['PROT_BTI']).toBeUndefined()
  expect(constantsOf(file, 'arm64')['PROT_BTI']).toBe(0x10)
})

test('agentBundle() has no constants in the agent but those that it uses: all others lie beside it', async () => {
  const folder = await agentBundle(cacheFolder())
  const unused = /FIEMAP_MAX_OFFSET|AUDIT_GET_FEATURE|BPF_MAP_TYPE_RINGBUF/
  expect(readFileSync(join(folder, 'agent.js'), 'utf8')).not.toMatch(unused)
  expect(readFileSync(join(folder, 'constants.json'), 'utf8')).toMatch(unused)
})
