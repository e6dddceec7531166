/**
 * The set-up, run by Node in a small copy of the repository, with made-up programs (npm, apt-get …) first on
 * PATH: nothing is downloaded and nothing is installed.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, expect, it } from 'vitest'

const scripts = fileURLToPath(new URL('..', import.meta.url))
const version = '9.9.9'
let root: string
let programs: string

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'solo-bootstrap-'))
  programs = join(root, 'programs')
  for (const folder of [
    'scripts',
    'programs',
    'packages/distro/src',
    `.cache/bun-${version}`,
    'node_modules',
  ]) {
    mkdirSync(join(root, folder), { recursive: true })
  }
  cpSync(join(scripts, 'bootstrap.mjs'), join(root, 'scripts/bootstrap.mjs'))
  cpSync(join(scripts, 'bootstrap'), join(root, 'scripts/bootstrap'), { recursive: true })
  write(
    'package.json',
    JSON.stringify({ name: 'x', workspaces: ['packages/*'], packageManager: `bun@${version}` }),
  )
  write('bun.lock', '')
  // The installed Bun: "install" makes a folder as the real one would, anything else runs for real.
  write(
    `.cache/bun-${version}/bun`,
    `#!/bin/sh\n[ "$1" = install ] && exit 0\nexec ${process.execPath} "$@"\n`,
  )
  setSystemPackages([])
})

afterEach(() => rmSync(root, { recursive: true, force: true }))

function write(path: string, text: string): void {
  writeFileSync(join(root, path), text)
  if (text.startsWith('#!')) chmodSync(join(root, path), 0o755)
}

function setSystemPackages(found: string[]): void {
  const table = found.map((name) => ({
    package: `${name}-package`,
    reason: `for ${name}`,
    commands: ['solo'],
    found: [name],
  }))
  write('scripts/bootstrap/system-packages.json', JSON.stringify(table))
}

interface Run {
  child: ChildProcess
  /** What came so far. */
  text: { out: string; err: string }
  ended: Promise<number | null>
}

/** Starts `npm run solo` as npm would, as the leader of a process group of its own. */
function start(parameters: string[], path = `${programs}:${process.env.PATH}`): Run {
  const child = spawn('node', [join(root, 'scripts/bootstrap.mjs'), ...parameters], {
    cwd: root,
    detached: true,
    env: { ...process.env, PATH: path },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const text = { out: '', err: '' }
  child.stdout.setEncoding('utf8').on('data', (part: string) => (text.out += part))
  child.stderr.setEncoding('utf8').on('data', (part: string) => (text.err += part))
  const ended = new Promise<number | null>((resolve) => {
    child.once('close', resolve)
  })
  return { child, text, ended }
}

async function until(condition: () => boolean): Promise<void> {
  for (let tries = 0; !condition(); tries++) {
    if (tries > 2000) throw new Error('waited in vain for 40 s')
    await Bun.sleep(20)
  }
}

it('the command gets its arguments, its own standard output and its exit status', async () => {
  write('packages/distro/src/solo.ts', 'console.log(JSON.stringify(process.argv.slice(2))); process.exit(3)')
  const run = start(['solo', '--json', 'a b'])
  expect(await run.ended).toBe(3)
  expect(run.text.out).toBe('["--json","a b"]\n')
})

it('the second time there is nothing to install, and nothing to say', async () => {
  write('packages/distro/src/solo.ts', '')
  const first = start(['solo'])
  expect(await first.ended).toBe(0)
  expect(first.text.err).toContain('installing the packages of bun.lock')
  const second = start(['solo'])
  expect(await second.ended).toBe(0)
  expect(second.text.err).toBe('')
})

it('a changed lock file is installed again', async () => {
  write('packages/distro/src/solo.ts', '')
  await start(['solo']).ended
  write('bun.lock', '{}')
  const run = start(['solo'])
  await run.ended
  expect(run.text.err).toContain('installing the packages of bun.lock')
})

it('an unknown command is named, with those that there are', async () => {
  const run = start(['sola'])
  expect(await run.ended).toBe(2)
  expect(run.text.err).toContain("unknown command 'sola': expected one of start, solo, bench, test")
})

it('Ctrl-C reaches the command once, its end is awaited, and its children do not outlive it', async () => {
  write(
    'packages/distro/src/solo.ts',
    `import { spawn } from 'node:child_process'
    const child = spawn('sleep', ['1000'], { stdio: 'ignore' })
    process.on('SIGINT', () => { console.log('SIGINT'); setTimeout(() => process.exit(7), 600) })
    setInterval(() => {}, 1000)
    console.log(child.pid)`,
  )
  const run = start(['solo'])
  await until(() => run.text.out.includes('\n'))
  const sleeper = Number(run.text.out)
  // The terminal signals the whole group, and npm passes its own on.
  process.kill(-(run.child.pid ?? 0), 'SIGINT')
  run.child.kill('SIGINT')
  expect(await run.ended).toBe(7)
  expect(run.text.out).toBe(`${sleeper}\nSIGINT\n`)
  await until(
    () => !existsSync(`/proc/${sleeper}`) || readFileSync(`/proc/${sleeper}/stat`, 'utf8').includes(') Z'),
  )
})

it('Ctrl-C while Bun is installed leaves no half of it, and exit status 130', async () => {
  rmSync(join(root, '.cache'), { recursive: true })
  write('programs/npm', '#!/bin/sh\ntouch half-written\nsleep 1000\n')
  write('programs/bun', '#!/bin/sh\necho 0.0.0\n')
  const run = start(['solo'])
  await until(
    () =>
      existsSync(join(root, '.cache')) && readdirSync(join(root, '.cache'), { recursive: true }).length > 1,
  )
  process.kill(-(run.child.pid ?? 0), 'SIGINT')
  expect(await run.ended).toBe(130)
  expect(readdirSync(join(root, '.cache'))).toEqual([])
})

it('a Bun on PATH is used when it is the pinned one', async () => {
  rmSync(join(root, '.cache'), { recursive: true })
  write('packages/distro/src/solo.ts', 'console.log("ran")')
  const script = `#!/bin/sh\ncase $1 in --version) echo ${version};; install) ;; *) exec ${process.execPath} "$@";; esac\n`
  write('programs/bun', script)
  const run = start(['solo'])
  expect(await run.ended).toBe(0)
  expect(run.text.out).toBe('ran\n')
  expect(run.text.err).not.toContain('installing Bun')
})

it('missing programs are installed by apt, after an update when its lists do not know them, once the lock is free', async () => {
  write('packages/distro/src/solo.ts', '')
  setSystemPackages(['made-up-program', 'sh'])
  write('programs/apt-cache', '#!/bin/sh\necho "made-up-program-package:"\necho "  Candidate: (none)"\n')
  write('programs/sudo', '#!/bin/sh\nexec "$@"\n')
  write(
    'programs/apt-get',
    `#!/bin/sh
    echo "$*" >> ${root}/calls
    if [ "$1" = update ] && [ ! -e ${root}/tried ]; then
      touch ${root}/tried; echo "E: Could not get lock /var/lib/apt/lists/lock" >&2; exit 100
    fi
    [ "$1" = install ] && printf '#!/bin/sh\\n' > ${programs}/made-up-program && chmod +x ${programs}/made-up-program
    exit 0\n`,
  )
  const run = start(['solo'])
  expect(await run.ended, run.text.err).toBe(0)
  expect(run.text.err).toContain('made-up-program-package  for made-up-program')
  expect(run.text.err).toContain('another apt or dpkg is at work')
  expect(readFileSync(join(root, 'calls'), 'utf8').split('\n')).toEqual([
    'update',
    'update',
    'install --yes --no-install-recommends made-up-program-package',
    '',
  ])
})

it('an installation that fails says what to install by hand', async () => {
  setSystemPackages(['made-up-program'])
  write('programs/apt-cache', '#!/bin/sh\necho "  Candidate: 1.0"\n')
  write('programs/sudo', '#!/bin/sh\nexec "$@"\n')
  write('programs/apt-get', '#!/bin/sh\necho "E: no space left on device" >&2\nexit 100\n')
  const run = start(['solo'])
  expect(await run.ended).toBe(1)
  expect(run.text.err).toContain('E: no space left on device')
  expect(run.text.err).toContain('made-up-program-package  for made-up-program')
})

it('without apt-get a message names what to install and why', async () => {
  setSystemPackages(['made-up-program'])
  symlinkSync(Bun.which('node') ?? '', join(programs, 'node'))
  symlinkSync('/bin/sh', join(programs, 'sh'))
  const run = start(['solo'], programs)
  expect(await run.ended).toBe(1)
  expect(run.text.err).toContain('has no apt-get')
  expect(run.text.err).toContain('made-up-program-package  for made-up-program')
})
