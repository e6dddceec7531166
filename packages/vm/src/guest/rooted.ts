/**
 * Programs below another root. chroot(2) in the agent would change the root of all its threads, so the child does it:
 * it executes a few hundred bytes of static ELF made for it (a syscall program of `@pkg/sys/program`) that changes
 * root, folder and user and then executes the program proper.
 */
import { staticElfAddresses, writeStaticElf } from '@pkg/image/elf'
import type { OwnedFd } from '@pkg/sys/fd'
import { duplicate, memfd_create, writeAll } from '@pkg/sys/io'
import { Program, vector } from '@pkg/sys/program'
import { currentArchitecture } from '@pkg/sys/raw'
import { lstatSync } from 'node:fs'
import { PROGRAM_ROOT } from './program-root.ts'

/** What is to run where. */
export interface RootedProgram {
  readonly root: string
  readonly cwd: string
  readonly file: string
  readonly args: readonly string[]
  readonly env: Readonly<Record<string, string>>
  readonly uid: number
  readonly gid: number
}

/** The launcher as a file in memory; to be executed by `/proc/self/fd/<number>`. Its statuses are env(1)'s: 125, 126, 127. */
export function rootedLauncher(options: RootedProgram): OwnedFd {
  const elf = staticElf(launcher(options))
  using low = memfd_create('solo-chroot', 0)
  writeAll(low, elf)
  // Above the numbers that the child's own descriptors will take.
  return duplicate(low)
}

function launcher({ root, cwd, file, args, env, uid, gid }: RootedProgram): Program {
  const program = new Program()
  const place = placeOf(root)
  const fail = (message: string, status: number): void => {
    const line = `solo: ${message}\n`
    program.call('write', 2, line, Buffer.byteLength(line)).ignoreErrors()
    program.call('exit_group', status)
  }
  const failures: [message: string, status: number, label: ReturnType<Program['label']>][] = []
  const onFailure = (message: string, status = 125): ReturnType<Program['label']> => {
    const label = program.label()
    failures.push([message, status, label])
    return label
  }
  program.call('chroot', root).otherwise(onFailure(`cannot change root to ${root}`))
  program.call('chdir', cwd).otherwise(onFailure(`no folder ${cwd}${place}`))
  if (gid !== 0 || uid !== 0) {
    const cannot = onFailure(`cannot become user ${uid}, group ${gid}`)
    program.call('setgroups', 0, null).otherwise(cannot)
    program.call('setresgid', gid, gid, gid).otherwise(cannot)
    program.call('setresuid', uid, uid, uid).otherwise(cannot)
  }
  const path = findInRoot(root, file, env['PATH'])
  const environment = Object.entries(env).map(([name, value]) => `${name}=${value}`)
  program
    .call('execve', path, vector([file, ...args]), vector(environment))
    .tolerate('ENOENT')
    .tolerate('ENOTDIR')
    .otherwise(onFailure(`cannot execute ${path}${place}`, 126))
  fail(`cannot execute ${path}${place}: it is not there, or its interpreter is not`, 127)
  for (const [message, status, label] of failures) {
    program.place(label)
    fail(message, status)
  }
  return program
}

/** In messages: the host's root is where people think that they are anyway. */
function placeOf(root: string): string {
  return root === PROGRAM_ROOT ? '' : ` in ${root}`
}

/** Looks in PATH, below the root. A link counts unseen: where it leads can only be told from within. */
function findInRoot(root: string, file: string, path = '/usr/local/bin:/usr/bin:/bin'): string {
  if (file.includes('/')) return file
  for (const folder of path.split(':')) {
    const stat = lstatSync(`${root}/${folder}/${file}`, { throwIfNoEntry: false })
    if (stat?.isSymbolicLink() || (stat?.isFile() && (stat.mode & 0o111) !== 0)) return `${folder}/${file}`
  }
  throw Object.assign(new Error(`spawn ${file}: ENOENT: not in PATH${placeOf(root)}`), { code: 'ENOENT' })
}

function staticElf(program: Program): Uint8Array {
  const architecture = currentArchitecture()
  const machine = architecture === 'x64' ? 'x86_64' : 'aarch64'
  const draft = program.standalone({ architecture, address: 0x40_0000 })
  const sizesBytes = [draft.code.length, draft.data.length]
  const [codeAddress = 0, dataAddress = 0] = staticElfAddresses({ machine, sizesBytes })
  const { code, data } = program.standalone({ architecture, address: dataAddress })
  return writeStaticElf({
    machine,
    entryAddress: codeAddress,
    segments: [
      { address: codeAddress, bytes: code, flags: 'rx' },
      { address: dataAddress, bytes: data, flags: 'rw' },
    ],
  })
}
