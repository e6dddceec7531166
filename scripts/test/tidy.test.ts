/**
 * The invariants of ARCHITECTURE.md, checked on every file; each rule also proves on a bad sample that it can
 * fail. The rules are in scripts/tidy/.
 */
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { checkManifest, freshManifest, packageFolders } from '../exports.ts'
import { checkDocumentation } from '../tidy/documentation.ts'
import { allExamples, checkExamples } from '../tidy/examples.ts'
import {
  checkDeclared,
  checkDirection,
  checkFfi,
  checkGraph,
  checkImageIsPortable,
  checkNpmFree,
  importsOf,
} from '../tidy/imports.ts'
import { checkManifests } from '../tidy/manifests.ts'
import { checkReadmes } from '../tidy/readmes.ts'
import {
  checkBarrels,
  checkConsole,
  checkFileSize,
  checkFunctionSize,
  checkGeneratedMark,
  checkNames,
  functionLines,
  hardFileLines,
  longFiles,
  softFileLines,
} from '../tidy/shape.ts'
import { describe as show, readSources, type Source, type Violation } from '../tidy/sources.ts'
import { checkText } from '../tidy/text.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))
const sources = readSources(root)
/** PID 1's program: everything that it reaches runs in the guest. */
const pid1 = 'packages/init/src/main.ts'

interface Rule {
  /** What holds. */
  name: string
  check: (sources: Source[]) => Violation[]
  /** Samples that break it, as path and text; each must be found. */
  bad: [path: string, text: string][]
  /** Samples that look alike and are right. */
  good: [path: string, text: string][]
}

const longFunction = `export function f(): void {\n${'  g()\n'.repeat(functionLines)}}\n`

const rules: Rule[] = [
  {
    name: 'packages import each other in one direction, by public subpaths',
    check: checkDirection,
    bad: [
      ['packages/sys/src/a.ts', `import { mount } from '@pkg/mount/mount'`],
      ['packages/image/src/a.ts', `export * from '@pkg/sys/fs'`],
      ['packages/init/src/a.ts', `const { x } = await import('@pkg/distro/config')`],
      ['packages/net/src/a.ts', `import { x } from '../../sys/src/fs.ts'`],
      ['packages/mount/src/a.ts', `import { x } from '@pkg/sys/raw/ffi'`],
      ['packages/sys/src/a.ts', `import { x } from '@pkg/sys/fs'`],
      ['packages/sys/src/a.ts', `let x: import('@pkg/net/ip').Ip`],
    ],
    good: [
      ['packages/init/src/deep/a.ts', `import { x } from '@pkg/sys/fs'\nimport { y } from '../b.ts'`],
      ['packages/init/test/a.vm.test.ts', `import { boot } from '@pkg/vm/qemu'`],
    ],
  },
  {
    name: 'what a package imports of ours is among its dependencies',
    check: checkDeclared,
    bad: [['packages/net/src/a.ts', `import { x } from '@pkg/sys/fs'`]],
    good: [['packages/net/test/a.test.ts', `import { x } from '@pkg/vm/qemu'`]],
  },
  {
    name: 'bun:ffi is imported in packages/sys/src/raw/ only',
    check: checkFfi,
    bad: [
      ['packages/sys/src/fs.ts', `import { ptr } from 'bun:ffi'`],
      ['examples/hello/src/a.ts', `require('bun:ffi')`],
      ['packages/net/src/a.ts', `process.getBuiltinModule('bun:ffi')`],
    ],
    good: [['packages/sys/src/raw/ffi.ts', `import { ptr } from 'bun:ffi'`]],
  },
  {
    name: 'sys, mount, net and init import nothing from npm',
    check: checkNpmFree,
    bad: [['packages/net/src/a.ts', `import { z } from 'zod'`]],
    good: [
      ['packages/net/src/a.ts', `import { join } from 'node:path'`],
      ['packages/distro/src/a.ts', `import { z } from 'zod'`],
    ],
  },
  {
    name: 'all that PID 1 reaches is free of npm and of Node’s modules',
    check: (files) => (files.some(({ path }) => path === pid1) ? checkGraph(files, pid1).violations : []),
    bad: [
      [pid1, `import { x } from './missing.ts'`],
      [pid1, `import { z } from 'zod'`],
      [pid1, `import { join } from 'node:path'`],
    ],
    good: [[pid1, `import { sleep } from 'bun'`]],
  },
  {
    name: 'image uses no API of Bun',
    check: checkImageIsPortable,
    bad: [
      ['packages/image/src/a.ts', `import { $ } from 'bun'`],
      ['packages/image/src/a.ts', `export const file = Bun.file('x')`],
    ],
    good: [['packages/image/src/a.ts', `/** Not Bun.file. */\nexport const x = 'Bun.file'`]],
  },
  {
    name: `no file has more than ${hardFileLines} lines`,
    check: checkFileSize,
    bad: [['packages/sys/src/a.ts', 'g()\n'.repeat(hardFileLines + 1)]],
    good: [
      ['packages/sys/src/a.ts', 'g()\n'.repeat(hardFileLines)],
      ['packages/sys/src/generated/a.ts', 'g()\n'.repeat(hardFileLines + 1)],
    ],
  },
  {
    name: `no function has more than ${functionLines} lines`,
    check: checkFunctionSize,
    bad: [['packages/sys/src/a.ts', longFunction]],
    good: [['packages/sys/test/a.test.ts', `describe('f', () => {\n${'  it()\n'.repeat(functionLines)}})`]],
  },
  {
    name: 'libraries do not use console',
    check: checkConsole,
    bad: [['packages/vm/src/a.ts', `console.log('x')`]],
    good: [
      ['packages/vm/src/a.ts', `export const text = vm.console.text`],
      ['packages/init/src/a.ts', `export function f(console: Console1): void { console.line('x') }`],
    ],
  },
  {
    name: 'there are no barrels',
    check: checkBarrels,
    bad: [
      ['packages/sys/src/a.ts', `export * from './a/b.ts'`],
      ['packages/sys/src/a.ts', `export { read } from './fs.ts'`],
      ['packages/sys/src/raw/index.ts', `export const x = 1`],
    ],
    good: [
      ['packages/sys/src/constants.ts', `export * from './generated/constants.ts'`],
      ['packages/sys/src/program.ts', `export { compile } from './program/compile.ts'`],
      ['packages/sys/src/index.ts', `export { SysError } from './errno.ts'`],
    ],
  },
  {
    name: 'generated files say in their first line how to make them anew',
    check: checkGeneratedMark,
    bad: [['packages/sys/src/generated/a.ts', `export const x = 1`]],
    good: [
      ['packages/sys/src/generated/a.ts', `// Generated by a script. Make anew: bun packages/sys/a.ts\n`],
    ],
  },
  {
    name: 'files are named in kebab-case, by what is in them',
    check: checkNames,
    bad: [
      ['packages/sys/src/fileSystem.ts', ''],
      ['packages/sys/src/utils.ts', ''],
      ['packages/net/src/helpers/a.ts', ''],
      ['packages/net/src/a.js', ''],
    ],
    good: [
      ['packages/init/test/boot.vm.test.ts', ''],
      ['examples/hello/solo.config.ts', ''],
      ['scripts/bootstrap/bun.mjs', ''],
    ],
  },
  {
    name: 'every export and every field of an exported interface is documented',
    check: checkDocumentation,
    bad: [
      ['packages/sys/src/a.ts', `export function f(): void {}`],
      ['packages/sys/src/a.ts', `/** Options. */\nexport interface O { timeoutMs: number }`],
      ['packages/sys/src/a.ts', `/** @internal */\nexport const a = 1`],
      ['packages/sys/src/a.ts', `const a = 1\nexport { a }`],
      ['packages/sys/src/a.ts', `/** A fd. */\nexport class Fd { close(): void {} }`],
    ],
    good: [
      ['packages/sys/src/a.ts', `/** Adds. */\nexport function f(): void {}\nfunction g(): void {}`],
      ['packages/sys/src/a.ts', `/** A fd. */\nexport class Fd { #fd = 1; private x = 1; constructor() {} }`],
    ],
  },
  {
    name: 'dependencies are plain ranges of ours and exact versions of others',
    check: checkManifests,
    bad: [
      [
        'packages/a/package.json',
        `{"name":"@pkg/a","license":"MIT","dependencies":{"@pkg/b":"workspace:*"}}`,
      ],
      ['packages/a/package.json', `{"name":"@pkg/a","license":"MIT","dependencies":{"zod":"^4.0.0"}}`],
      ['packages/a/package.json', `{"name":"@pkg/sys","license":"MIT","dependencies":{"zod":"4.0.0"}}`],
      ['packages/a/package.json', `{"name":"@pkg/a"}`],
    ],
    good: [['bench/package.json', `{"name":"@pkg/bench","private":true,"dependencies":{"koffi":"3.3.4"}}`]],
  },
  {
    name: 'no file names a registry host or a path of one machine',
    check: checkText,
    bad: [
      ['a.md', ['fetch from registry', 'npmjs', 'org'].join('.')],
      ['a.ts', `const path = '${['', 'work', 'main'].join('/')}'`],
    ],
    good: [['a.md', 'a framework/library']],
  },
  {
    name: 'the README of each package has all its parts',
    check: checkReadmes,
    bad: [['packages/a/package.json', `{"name":"@pkg/a","exports":{}}`]],
    good: [],
  },
]

describe.each(rules)('$name', ({ check, bad, good }) => {
  it('holds for the whole repository', () => {
    expect(check(sources).map(show)).toEqual([])
  })

  it('is broken by bad samples', () => {
    for (const [path, text] of bad) expect(check([{ path, text }]), `${path}: ${text}`).not.toEqual([])
  })

  it('is not broken by good ones', () => {
    for (const [path, text] of good) expect(check([{ path, text }]).map(show), path).toEqual([])
  })
})

it('checkReadmes() names each part that is missing', () => {
  const manifest = { path: 'packages/a/package.json', text: `{"name":"@pkg/a","exports":{"./fs":{}}}` }
  const readme = (text: string): string[] =>
    checkReadmes([manifest, { path: 'packages/a/README.md', text }]).map(({ message }) => message)
  expect(readme('')).toHaveLength(5)
  const whole = '# @pkg/a\n\n```ts\n1\n```\n\n`@pkg/a/fs`\n\n## What it does not do\n\nMIT\n'
  expect(readme(whole)).toEqual([])
})

it('checkDeclared() accepts a declared package', () => {
  const manifest = { path: 'packages/net/package.json', text: '{"dependencies":{"@pkg/sys":"^0.1.0"}}' }
  const source = { path: 'packages/net/src/a.ts', text: `import { x } from '@pkg/sys/fs'` }
  expect(checkDeclared([manifest, source]).map(show)).toEqual([])
})

it("checkGraph() finds npm behind another package's file", () => {
  const files = [
    { path: pid1, text: `import { open } from '@pkg/sys/fs'` },
    { path: 'packages/sys/src/fs.ts', text: `import { z } from './raw/z.ts'` },
    { path: 'packages/sys/src/raw/z.ts', text: `export { z } from 'zod'` },
  ]
  expect(checkGraph(files, pid1).violations.map(show)).toEqual([
    'packages/sys/src/raw/z.ts:1 packages/init/src/main.ts reaches zod, which is from npm',
  ])
})

it('importsOf() sees every way to import', () => {
  const text = `import 'a'\nexport * from 'b'\nimport type { X } from 'c'\nimport('d')\nrequire('e')\nlet f: import('f').F`
  const found = importsOf({ path: 'a.ts', text }).map(({ specifier }) => specifier)
  expect(found).toEqual(['a', 'b', 'c', 'd', 'e', 'f'])
})

it('PID 1 reaches this repository’s packages, so the rule about its imports means something', () => {
  const { files } = checkGraph(sources, pid1)
  expect(files.some((path) => path.startsWith('packages/sys/src/raw/'))).toBe(true)
})

it('the Bun that runs the tests is the Bun that goes into images', () => {
  const textOf = (path: string): string => sources.find((source) => source.path === path)?.text ?? ''
  const pinned = /"packageManager": "bun@([^"]+)"/.exec(textOf('package.json'))?.[1]
  const shipped = /bunVersion = '([^']+)'/.exec(textOf('packages/vm/src/runtime.ts'))?.[1]
  expect(pinned).toMatch(/^\d+\.\d+\.\d+$/)
  expect(shipped).toBe(pinned)
})

it('the soft limit of file size is known', () => {
  // Not an error: the list is for whoever looks for the next file to split.
  for (const violation of longFiles(sources, softFileLines)) console.info(`long file: ${show(violation)}`)
  expect(longFiles([{ path: 'a.ts', text: 'g()\n'.repeat(softFileLines + 1) }], softFileLines)).toHaveLength(
    1,
  )
})

describe('package.json', () => {
  it('exports exactly the top-level sources, in every package', () => {
    const stale = packageFolders()
      .map(checkManifest)
      .filter(({ replacement }) => replacement !== undefined)
    expect(stale.map(({ path }) => `${path}: run \`bun scripts/exports.ts\``)).toEqual([])
  })

  it('freshManifest() leaves out programs and puts the root first', () => {
    const manifest = { name: '@pkg/a', bin: { solo: './dist/solo.js' } }
    const { exports } = freshManifest(manifest, ['solo.ts', 'b.ts', 'index.ts', 'README.md'])
    expect(Object.keys(exports ?? {})).toEqual(['.', './b', './package.json'])
    expect(exports?.['./b']).toEqual({ types: './dist/b.d.ts', default: './dist/b.js' })
  })
})

describe('examples in READMEs and docstrings', () => {
  const cache = join(root, '.cache')

  it('type-check, and run under Bun', { timeout: 600_000 }, async () => {
    const examples = allExamples(sources)
    const violations = await checkExamples(root, join(cache, 'examples'), examples)
    expect(violations.map(show)).toEqual([])
    expect(examples.length).toBeGreaterThan(0)
  })

  it('checkExamples() finds what does not compile and what fails', { timeout: 240_000 }, async () => {
    const text = [
      'first\n```ts\nconst x: number = ""\n```',
      '```ts\nthrow new Error("at run time")\n```',
      '```ts no-run\nthrow new Error("not run")\n```',
    ].join('\n')
    const folder = join(cache, 'bad-examples')
    const violations = await checkExamples(root, folder, allExamples([{ path: 'README.md', text }]))
    const places = violations.map(({ line, message }) => `${line} ${message.split('\n', 1)[0]}`)
    expect(places).toEqual([
      "3 example: error TS2322: Type 'string' is not assignable to type 'number'.",
      expect.stringContaining('6 example fails: exit status 1'),
    ])
  })

  it('are found in docstrings too, without their asterisks', () => {
    const text =
      '/**\n * Adds.\n *\n * @example\n * ```ts\n * f(1)\n *   .g()\n * ```\n */\nexport const f = 1\n'
    expect(allExamples([{ path: 'packages/sys/src/a.ts', text }])).toEqual([
      { path: 'packages/sys/src/a.ts', line: 6, code: 'f(1)\n  .g()\n', runs: true },
    ])
  })
})
