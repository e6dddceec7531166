import { spawnSync } from 'node:child_process'
import {
  chmodSync,
  copyFileSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  realpathSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { MissingLibraryError, elfClosure } from '../src/elf-closure.ts'
import type { ClosureEntry, ElfClosureOptions } from '../src/elf-closure.ts'
import { parseElfFile } from '../src/elf-closure/read-elf.ts'
import { parseElf } from '../src/elf.ts'
import { run, runOk, temporaryFolder } from './run.ts'

// Each test starts many other programs, on machines that may be busy.

/** One line an entry. */
const lines = (entries: ClosureEntry[]): string[] =>
  entries.map((entry) => (entry.type === 'file' ? entry.path : `${entry.path} -> ${entry.target}`))

/** Compiles C into `folder`/`path`. */
function compile(folder: string, path: string, source: string, ...flags: string[]): string {
  const output = join(folder, path)
  mkdirSync(dirname(output), { recursive: true })
  const compiler = flags.includes('aarch64') ? 'aarch64-linux-gnu-gcc' : 'gcc'
  const options = flags.filter((flag) => flag !== 'aarch64')
  const command: [string, ...string[]] = [compiler, '-x', 'c', '-o', output, '-', '-x', 'none', ...options]
  runOk(command, { input: Buffer.from(source), cwd: folder })
  return output
}

const library = (folder: string, path: string, ...flags: string[]): string =>
  compile(folder, path, 'int three(void) { return 3; }', '-shared', `-Wl,-soname,${basename(path)}`, ...flags)

/** Puts the closure into a folder, as a tree of an image would be. */
function materialize(entries: ClosureEntry[]): string {
  const image = temporaryFolder()
  for (const entry of entries) {
    const path = join(image, entry.path)
    mkdirSync(dirname(path), { recursive: true })
    if (entry.type === 'symlink') symlinkSync(entry.target, path)
    else copyFileSync(entry.source, path)
    if (entry.type === 'file') chmodSync(path, entry.mode)
  }
  return image
}

function runInside(image: string, program: string): number | null {
  const become = process.getuid?.() === 0 ? [] : ['unshare', '--map-root-user']
  const [file, ...args] = [...become, 'chroot', image, program] as const
  // Without /proc the loader takes $ORIGIN of a program from here.
  return run([file, ...args], { env: { LD_ORIGIN_PATH: dirname(program) } }).status
}

async function failure(options: ElfClosureOptions): Promise<Error> {
  const result = await elfClosure(options).catch((error: unknown) => error)
  if (result instanceof Error) return result
  throw new Error('no error')
}

/** A sysroot with this machine's loader and C library, merged as Debian's: /lib and /lib64 are symlinks. */
async function sysrootWithLibc(): Promise<string> {
  const sysroot = temporaryFolder()
  for (const name of ['lib', 'lib64']) {
    mkdirSync(join(sysroot, 'usr', name), { recursive: true })
    symlinkSync(`usr/${name}`, join(sysroot, name))
  }
  for (const entry of await elfClosure({ programs: ['/bin/sh'], sysroot: '/' })) {
    if (!/\/lib(64)?\//.test(entry.path)) continue
    const path = join(sysroot, entry.path)
    mkdirSync(dirname(path), { recursive: true })
    if (entry.type === 'file') copyFileSync(entry.source, path)
    else symlinkSync(join(dirname(entry.path), entry.target), path)
  }
  return sysroot
}

describe('elfClosure() of this machine', () => {
  test('finds the libraries that the loader itself lists', async () => {
    const programs = readdirSync('/usr/bin')
      .map((name) => `/usr/bin/${name}`)
      .filter((path) => dynamicInterpreter(path) !== undefined)
      .slice(0, 40)
    expect(programs.length).toBeGreaterThan(10)
    for (const program of programs) {
      const interpreter = dynamicInterpreter(program) ?? ''
      const listed = runOk([interpreter, '--list', program]).matchAll(/^\t(?:.* => )?(\/.*) \(0x/gm)
      const expected = [...listed].map((match) => realpathSync(match[1] ?? ''))
      const found = (await elfClosure({ programs: [program], sysroot: '/' })).filter(
        (entry) => entry.type === 'file',
      )
      const sources = new Set(found.map((entry) => realpathSync(entry.source)))
      expect([program, sources]).toEqual([
        program,
        new Set([...expected, realpathSync(interpreter), realpathSync(program)]),
      ])
    }
  })

  test('gives a folder in which the programs start, without cache or configuration', async () => {
    const libraries = ['libnss_dns.so.2']
    const entries = await elfClosure({ programs: ['/bin/ls', '/usr/bin/env'], sysroot: '/', libraries })
    expect(entries.some(({ path }) => path.endsWith('/libnss_dns.so.2'))).toBe(true)
    const image = materialize(entries)
    expect([runInside(image, '/bin/ls'), runInside(image, '/usr/bin/env')]).toEqual([0, 0])
    // Folders are real, so that /lib/modules and the like can be added.
    const symlinked = readdirSync(image, { withFileTypes: true }).filter((entry) => entry.isSymbolicLink())
    expect(symlinked).toEqual([])
  })

  test('takes a program from elsewhere, with a library that it wants beside itself', async () => {
    const folder = temporaryFolder()
    library(folder, 'app/lib/libthree.so.1')
    const flags = ['app/lib/libthree.so.1', '-Wl,--enable-new-dtags,-rpath,$ORIGIN/lib']
    const source = compile(
      folder,
      'app/main',
      'int three(void); int main(void) { return three(); }',
      ...flags,
    )
    const entries = await elfClosure({ programs: [{ path: '/opt/app/main', source }], sysroot: '/' })
    expect(lines(entries)).toEqual(expect.arrayContaining(['/opt/app/main', '/opt/app/lib/libthree.so.1']))
    expect(runInside(materialize(entries), '/opt/app/main')).toBe(3)
  })

  test('takes nothing but the program itself when it is static', async () => {
    const source = compile(temporaryFolder(), 'static', 'int main(void) { return 0; }', '-static')
    const entries = await elfClosure({
      programs: [{ path: '/init', source }],
      sysroot: '/',
      libraries: ['libz.so.1'],
    })
    expect(entries).toMatchObject([
      { type: 'file', path: '/init', source: realpathSync(source), mode: 0o755 },
    ])
  })
})

function dynamicInterpreter(path: string): string | undefined {
  try {
    return parseElf(readFileSync(path)).interpreter
  } catch {
    return undefined
  }
}

describe('elfClosure() in a sysroot', () => {
  const main = 'int three(void); int main(void) { return three(); }'

  test('follows DT_RPATH up the chain, DT_RUNPATH only for its own object, symlinks inside the sysroot', async () => {
    const sysroot = await sysrootWithLibc()
    // main (RPATH $ORIGIN/../libs) → libmiddle → libthree, which only main's RPATH finds.
    library(sysroot, 'opt/v1/real/libthree.so.1')
    symlinkSync('/opt/v1/real/libthree.so.1', join(sysroot, 'opt/v1/link'))
    mkdirSync(join(sysroot, 'opt/v1/libs'))
    symlinkSync('../link', join(sysroot, 'opt/v1/libs/libthree.so.1'))
    symlinkSync('v1', join(sysroot, 'opt/current'))
    compile(
      sysroot,
      'opt/v1/libs/libmiddle.so',
      'int three(void); int two(void) { return three(); }',
      '-shared',
      'opt/v1/real/libthree.so.1',
    )
    const uses = ['-Lopt/v1/libs', '-lmiddle', '-Wl,--allow-shlib-undefined']
    const two = 'int two(void); int main(void) { return two(); }'
    compile(sysroot, 'opt/v1/bin/old', two, ...uses, '-Wl,--disable-new-dtags,-rpath,/opt/current/libs')
    compile(sysroot, 'opt/v1/bin/new', two, ...uses, '-Wl,--enable-new-dtags,-rpath,$ORIGIN/../libs')

    const entries = await elfClosure({ programs: ['/opt/v1/bin/old'], sysroot })
    expect(lines(entries)).toEqual(
      expect.arrayContaining([
        '/opt/v1/bin/old',
        '/opt/current/libs/libmiddle.so -> ../../v1/libs/libmiddle.so',
        '/opt/current/libs/libthree.so.1 -> ../../v1/real/libthree.so.1',
        '/opt/v1/libs/libmiddle.so',
        '/opt/v1/real/libthree.so.1',
      ]),
    )
    expect(runInside(materialize(entries), '/opt/v1/bin/old')).toBe(3)

    const error = await failure({ programs: ['/opt/v1/bin/new'], sysroot })
    expect(error).toBeInstanceOf(MissingLibraryError)
    expect(error).toMatchObject({
      program: '/opt/v1/bin/new',
      neededBy: '/opt/v1/libs/libmiddle.so',
      library: 'libthree.so.1',
    })
  })

  test('finds folders of ld.so.conf and makes their libraries reachable without its cache', async () => {
    const sysroot = await sysrootWithLibc()
    library(sysroot, 'srv/extra/libthree.so.1')
    mkdirSync(join(sysroot, 'etc/ld.so.conf.d'), { recursive: true })
    writeFileSync(
      join(sysroot, 'etc/ld.so.conf'),
      '# folders\ninclude ld.so.conf.d/*.conf\ninclude /etc/ld.so.conf\n',
    )
    writeFileSync(join(sysroot, 'etc/ld.so.conf.d/a.conf'), '/nowhere\n/srv/extra/ # ours\n')
    compile(sysroot, 'bin/main', main, 'srv/extra/libthree.so.1')
    const entries = await elfClosure({ programs: ['/bin/main'], sysroot })
    expect(lines(entries)).toContainEqual(
      expect.stringMatching(/^\/usr\/lib\S*\/libthree\.so\.1 -> (\.\.\/)+srv\/extra\/libthree\.so\.1$/),
    )
    expect(runInside(materialize(entries), '/bin/main')).toBe(3)
  })

  test('names program, library and folders when a library is missing, and what was for another processor', async () => {
    const sysroot = await sysrootWithLibc()
    library(sysroot, 'build/libthree.so.1')
    compile(sysroot, 'bin/main', main, 'build/libthree.so.1')
    const missing = await failure({ programs: ['/bin/main'], sysroot })
    expect(missing.message).toMatch(
      new RegExp(
        `^/bin/main: needs libthree.so.1, which is not in ${sysroot}, searched /.*, /usr/lib.*: install its package there$`,
      ),
    )
    const other = process.arch === 'arm64' ? [] : ['aarch64']
    library(sysroot, 'usr/lib/libthree.so.1', '-nostdlib', ...other)
    expect((await failure({ programs: ['/bin/main'], sysroot })).message).toContain(
      `; for another processor: ${join(sysroot, 'usr/lib/libthree.so.1')}`,
    )
  })

  test('names the loader when that is missing', async () => {
    const sysroot = temporaryFolder()
    compile(sysroot, 'main', 'int main(void) { return 0; }')
    const error = await failure({ programs: ['/main'], sysroot })
    expect(error.message).toBe(
      `/main: needs the loader ${dynamicInterpreter(join(sysroot, 'main'))}, which is not in ${sysroot}: install its package there`,
    )
  })

  test('resolves for aarch64 with its own libraries, and qemu starts the result', async () => {
    const folder = temporaryFolder()
    const source = compile(
      folder,
      'main',
      '#include <math.h>\nint main(int c, char **v) { return (int)cbrt(c * 27.0); }',
      '-lm',
      'aarch64',
    )
    const entries = await elfClosure({
      programs: [{ path: '/bin/main', source }],
      sysroot: '/usr/aarch64-linux-gnu',
    })
    const names = entries.map(({ path }) => basename(path))
    expect(names).toEqual(expect.arrayContaining(['main', 'ld-linux-aarch64.so.1', 'libm.so.6', 'libc.so.6']))
    const image = materialize(entries)
    const qemu = spawnSync('qemu-aarch64-static', ['-L', image, join(image, 'bin/main')])
    expect([qemu.error, qemu.status]).toEqual([undefined, 3])
  })

  test("looks where musl's loader looks, and takes its libc to be inside of it", async () => {
    const sysroot = temporaryFolder()
    library(sysroot, 'lib/ld-musl-x86_64.so.1', '-nostdlib')
    library(sysroot, 'usr/local/lib/libthree.so.1', '-nostdlib')
    library(sysroot, 'build/libc.musl-x86_64.so.1', '-nostdlib')
    const flags = ['-nostdlib', '-Wl,--dynamic-linker=/lib/ld-musl-x86_64.so.1', '-Wl,--no-as-needed']
    compile(sysroot, 'bin/main', main, ...flags, 'usr/local/lib/libthree.so.1', 'build/libc.musl-x86_64.so.1')
    const expected = ['/bin/main', '/lib/ld-musl-x86_64.so.1', '/usr/local/lib/libthree.so.1']
    expect(lines(await elfClosure({ programs: ['/bin/main'], sysroot }))).toEqual(expected)
    mkdirSync(join(sysroot, 'etc'))
    writeFileSync(join(sysroot, `etc/ld-musl-x86_64.path`), '/lib\n/somewhere')
    const error = await failure({ programs: ['/bin/main'], sysroot })
    expect(error).toMatchObject({ library: 'libthree.so.1', searched: ['/lib', '/somewhere'] })
  })

  test('refuses what is no program', async () => {
    const sysroot = temporaryFolder()
    mkdirSync(join(sysroot, 'folder'))
    writeFileSync(join(sysroot, 'script'), '#!/bin/sh\n')
    symlinkSync('loop', join(sysroot, 'loop'))
    symlinkSync('../../../script', join(sysroot, 'up'))
    const messageFor = async (program: string): Promise<string> =>
      (await failure({ programs: [program], sysroot })).message
    expect(await messageFor('/folder')).toBe(`/folder: the program is not a file in ${sysroot}`)
    expect(await messageFor('/loop')).toBe(`/loop: the program is not a file in ${sysroot}`)
    expect(await messageFor('/script/x')).toBe(`/script/x: the program is not a file in ${sysroot}`)
    // .. stops at the sysroot, as after a chroot.
    expect(await messageFor('/up')).toBe(`${sysroot}/script: a script (#!), not an ELF file (byte 0)`)
    expect(await messageFor('bin/sh')).toContain('must be absolute')
    expect(await messageFor('/bin/../sh')).toContain('must be absolute, without . or ..')
    const outside = await failure({ programs: [{ path: '/x', source: '/nowhere' }], sysroot })
    expect(outside.message).toBe('/nowhere: the program for /x is not a file')
  })
})

test('parseElfFile() finds in a file what parseElf() finds in its bytes, large ones and damaged ones too', async () => {
  const folder = temporaryFolder()
  const whole = readFileSync('/bin/sh')
  const damaged = [3, 700, whole.length >> 1].map((sizeBytes) => {
    const path = join(folder, String(sizeBytes))
    writeFileSync(path, whole.subarray(0, sizeBytes))
    return path
  })
  for (const path of ['/bin/sh', process.execPath, ...damaged]) {
    let expected: unknown
    try {
      expected = parseElf(readFileSync(path))
    } catch (error) {
      expected = error
    }
    const found = await parseElfFile(path).catch((error: unknown) => (error as Error).cause)
    expect(found).toEqual(expected)
  }
})
