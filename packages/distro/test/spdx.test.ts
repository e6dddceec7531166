// Bills of materials of small trees; whole images are in build.test.ts and disk-build.test.ts.
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { FileTree } from '@pkg/image/tree'
import { expect, test } from 'vitest'
import { debianComponent, npmComponent } from '../src/sbom/component.ts'
import { Origins } from '../src/sbom/origins.ts'
import { spdxDocument } from '../src/sbom/spdx.ts'
import { testFolder } from './support/folder.ts'
import { spdxProblems } from './support/spdx-tools.ts'

const pin = {
  name: 'libstdc++6',
  version: '1:12.2.0-14+b1',
  architecture: 'amd64',
  sizeBytes: 1,
  sha256: 'ab'.repeat(32),
}

test('spdxDocument() names hard links too, and is valid with odd names', async () => {
  using folder = testFolder()
  const bytes = new TextEncoder().encode('x')
  const tree = new FileTree()
    .add({ path: '/usr/bin/perl', type: 'file', content: bytes })
    .add({ path: '/usr/bin/perl5.36', type: 'hardlink', linkTo: '/usr/bin/perl' })
    .add({ path: '/a b/ü\\n"', type: 'file', content: bytes })
    .add({ path: '/a-b/u-n-', type: 'file', content: bytes })
    .add({ path: '/bin', type: 'symlink', target: 'usr/bin' })
  const origins = new Origins()
  origins.claim(tree, (path) =>
    path.startsWith('/usr') ? [debianComponent(pin, 'bookworm/amd64')] : [npmComponent('@a/b', '1.0.0')],
  )
  const subject = {
    name: 'small',
    version: '1',
    cache: folder.path,
    createdSeconds: 1_700_000_000,
    tool: 'solo-1',
  }
  const text = await spdxDocument({ ...subject, parts: [{ name: 'root', tree, origins }] })
  expect(await spdxDocument({ ...subject, parts: [{ name: 'root', tree, origins }] })).toBe(text)
  const file = join(folder.path, 'sbom.json')
  writeFileSync(file, text)
  expect(spdxProblems(file)).toBe('')
  const bill = JSON.parse(text) as {
    creationInfo: { created: string }
    files: { fileName: string; SPDXID: string }[]
    relationships: { relationshipType: string }[]
  }
  expect(bill.creationInfo.created).toBe('2023-11-14T22:13:20Z')
  expect(bill.files.map(({ fileName }) => fileName)).toEqual([
    './a b/ü\\n"',
    './a-b/u-n-',
    './usr/bin/perl',
    './usr/bin/perl5.36',
  ])
  expect(new Set(bill.files.map(({ SPDXID }) => SPDXID)).size).toBe(4)
  expect(
    bill.relationships.filter(({ relationshipType }) => relationshipType === 'EXPANDED_FROM_ARCHIVE'),
  ).toHaveLength(2)
})

test('spdxProblems() finds what is wrong with a document', async () => {
  using folder = testFolder()
  const subject = { name: 'small', version: '1', cache: folder.path, createdSeconds: 0, tool: 'solo-1' }
  const text = await spdxDocument({ ...subject, parts: [] })
  const file = join(folder.path, 'sbom.json')
  writeFileSync(
    file,
    text.replace('"relatedSpdxElement": "SPDXRef-image', '"relatedSpdxElement": "SPDXRef-none'),
  )
  expect(spdxProblems(file)).toContain('SPDXRef-none')
})

test('package URLs say distribution and suite', () => {
  expect(debianComponent(pin, 'bookworm/amd64').purl).toBe(
    'pkg:deb/debian/libstdc%2B%2B6@1%3A12.2.0-14%2Bb1?arch=amd64&distro=bookworm',
  )
  expect(debianComponent(pin, 'noble/amd64').purl).toContain('pkg:deb/ubuntu/')
  expect(npmComponent('@a/b', '1.0.0-rc.1').purl).toBe('pkg:npm/%40a/b@1.0.0-rc.1')
})
