/**
 * What happens between `unshare` and the guest's PID 1, as a list of system calls: maps the users, builds the root
 * (an overlay over a folder that is only read), enters it, and executes PID 1.
 *
 * The host's files are taken hold of first (open_tree) and mounted when the new root has been entered (move_mount): a
 * symbolic link in the guest's folders then cannot lead to the host's.
 */
import type { Program, Step } from '@pkg/sys/program'
import { vector } from '@pkg/sys/program'
import { AF_INET, AT_FDCWD, FD_CLOEXEC, F_SETFD, IFF_UP, SOCK_CLOEXEC, SOCK_DGRAM } from '@pkg/sys/constants'
import { MNT_DETACH, MS_BIND, MS_NODEV, MS_NOEXEC, MS_NOSUID, MS_RDONLY, MS_REC } from '@pkg/sys/constants'
import { O_CLOEXEC, O_NOCTTY, O_RDWR, PR_SET_PDEATHSIG, SIGKILL, SIOCSIFFLAGS } from '@pkg/sys/constants'
import { TIOCSCTTY, TIOCSPTLCK, X_OK } from '@pkg/sys/constants'
import { SetupProgram } from '../process-machine/setup-program.ts'

/** Descriptors that the program inherits. */
export const FDS = { control: 3, sync: 4, terminalMaster: 5 } as const

/** The words of the program on the sync socket. */
export const WORDS = {
  mapUsers: 'map users\n',
  alive: 'alive\n',
  noOverlay: 'no overlay\n',
  started: 'started\n',
} as const

/** Where the host's root is in the guest, when it is asked for. */
export const HOST_ROOT = '/host'

/** A folder or file of the host's in the guest. */
export interface ResolvedShare {
  host: string
  guest: string
  writable: boolean
  kind: 'folder' | 'file'
}

/** What the program is to build. Paths of the host are absolute. */
export interface SetupOptions {
  /** An empty folder of the host's to build in. Nothing is left in it. */
  workFolder: string
  folder: string
  /** The entries of `folder`: what is mounted one by one where the kernel refuses an overlay. */
  entries: readonly { name: string; kind: 'folder' | 'file' }[]
  /** Path of the console's terminal. */
  terminal: string
  program: string
  args: readonly string[]
  env: Readonly<Record<string, string>>
  hostname: string
  shares: readonly ResolvedShare[]
  hostRoot: boolean
  /** Whether descriptor 3 is a control channel, for PID 1 to inherit. */
  control: boolean
  /** Whether the host's root is the guest's: what of the kernel's is not in a namespace must then be guarded. */
  hostUserIsRoot: boolean
}

/** The program that `unshare` executes as PID 1 of the new namespaces. */
export function setupProgram(options: SetupOptions): Program {
  const setup = new SetupProgram(FDS.sync)
  mapUsers(setup)
  const terminal = openTerminal(setup, options.terminal)
  const host = options.hostRoot ? setup.grab("take hold of the host's root", '/') : undefined
  const shares = options.shares.map((share) => ({
    share,
    tree: setup.grab(`share ${share.host}`, share.host),
  }))
  const devices = DEVICES.map((name) => ({ name, tree: setup.grab(`take /dev/${name}`, `/dev/${name}`) }))
  const consoleTree = setup.grab('take hold of the console', options.terminal)
  buildRoot(setup, options)
  setup.must('enter the root', 'pivot_root', '.', '.')
  mountKernelFolders(setup, options.hostUserIsRoot)
  mountDev(setup, devices, consoleTree)
  if (host) {
    setup.folder(HOST_ROOT)
    setup.attach("mount the host's root", host, HOST_ROOT, false)
  }
  for (const { share, tree } of shares) mountShare(setup, share, tree)
  // The old root lies on top of the new one since pivot_root('.', '.').
  setup.must("let go of the host's root", 'umount2', '.', MNT_DETACH)
  setup.must('enter the root', 'chdir', '/')
  setup.may('sethostname', options.hostname, new TextEncoder().encode(options.hostname).length)
  raiseLoopback(setup)
  execute(setup, options, terminal)
  return setup.finish()
}

/** The host writes the maps, because only it may map more than one user. */
function mapUsers(setup: SetupProgram): void {
  setup.must('prctl', 'prctl', PR_SET_PDEATHSIG, SIGKILL)
  setup.say(FDS.sync, WORDS.mapUsers)
  setup.must('wait for the user map', 'read', FDS.sync, new Uint8Array(1), 1)
  // The host may have died before the kernel knew whose death to tell of: then this is EPIPE.
  setup.say(FDS.sync, WORDS.alive)
  setup.must('become root', 'setresgid', 0, 0, 0)
  setup.must('become root', 'setresuid', 0, 0, 0)
  // Refused to those who may not map more than themselves.
  setup.may('setgroups', 0, null)
}

function openTerminal(setup: SetupProgram, path: string): Step {
  setup.must('setsid', 'setsid')
  setup.must('unlock the console', 'ioctl', FDS.terminalMaster, TIOCSPTLCK, new Uint8Array(4))
  const terminal = setup.must('open the console', 'openat', AT_FDCWD, path, O_RDWR | O_NOCTTY | O_CLOEXEC, 0)
  setup.must('take the console', 'ioctl', terminal, TIOCSCTTY, 0)
  setup.may('close', FDS.terminalMaster)
  return terminal
}

/** Relative paths, because the folder's name may hold what has a meaning in mount options (`:`, `,`). */
function buildRoot(setup: SetupProgram, { workFolder, folder, entries }: SetupOptions): void {
  setup.must('mount a tmpfs', 'mount', 'tmpfs', workFolder, 'tmpfs', 0, 'mode=0755')
  setup.must('enter the tmpfs', 'chdir', workFolder)
  for (const name of ['lower', 'upper', 'work', 'root']) setup.must('mkdir', 'mkdirat', AT_FDCWD, name, 0o755)
  setup.must(`mount ${folder}`, 'mount', folder, 'lower', null, MS_BIND | MS_REC, null)
  const [refused, built] = [setup.label(), setup.label()]
  // userxattr: what an overlay may use in a user namespace, since Linux 5.11.
  const overlay = 'lowerdir=lower,upperdir=upper,workdir=work,userxattr'
  setup.orElse(refused, 'mount', 'overlay', 'root', 'overlay', 0, overlay)
  setup.goto(built)
  setup.place(refused)
  setup.say(FDS.sync, WORDS.noOverlay)
  setup.must('mount the root', 'mount', 'tmpfs', 'root', 'tmpfs', 0, 'mode=0755')
  for (const { name, kind } of entries) mountEntry(setup, name, kind)
  setup.place(built)
  setup.must('enter the root', 'chdir', 'root')
}

function mountEntry(setup: SetupProgram, name: string, kind: 'folder' | 'file'): void {
  const [from, to] = [`lower/${name}`, `root/${name}`]
  if (kind === 'folder') setup.may('mkdirat', AT_FDCWD, to, 0o755)
  else setup.file(to)
  setup.must(`mount ${name}`, 'mount', from, to, null, MS_BIND | MS_REC, null)
}

/**
 * Files by which the host's root could change the host itself. As container runtimes do: it keeps mistakes from the
 * host, not malice. In an unprivileged guest nobody is the host's root, and the kernel refuses by itself.
 */
const GUARDED = ['/proc/sys', '/proc/sysrq-trigger', '/proc/irq', '/proc/bus', '/proc/fs'] as const

function mountKernelFolders(setup: SetupProgram, hostUserIsRoot: boolean): void {
  const noFlags = MS_NOSUID | MS_NODEV | MS_NOEXEC
  setup.folder('/proc')
  const proc = 'mount /proc (in a container: its /proc must not be masked)'
  setup.must(proc, 'mount', 'proc', '/proc', 'proc', noFlags, null)
  if (hostUserIsRoot) guardProc(setup)
  setup.folder('/sys')
  setup.may('mount', 'sysfs', '/sys', 'sysfs', noFlags | (hostUserIsRoot ? MS_RDONLY : 0), null)
  setup.may('mount', 'cgroup2', '/sys/fs/cgroup', 'cgroup2', noFlags | (hostUserIsRoot ? MS_RDONLY : 0), null)
  for (const [path, mode] of [
    ['/run', '0755'],
    ['/tmp', '1777'],
  ] as const) {
    setup.folder(path)
    setup.must(`mount ${path}`, 'mount', 'tmpfs', path, 'tmpfs', MS_NOSUID | MS_NODEV, `mode=${mode}`)
  }
}

/** What belongs to the guest's own network namespace stays writable. */
function guardProc(setup: SetupProgram): void {
  const network = setup.grab('take /proc/sys/net', '/proc/sys/net')
  for (const path of GUARDED) {
    const absent = setup.label()
    setup.orElse(absent, 'faccessat', AT_FDCWD, path, 0)
    setup.attach(`guard ${path}`, setup.grab(`guard ${path}`, path), path, false)
    setup.place(absent)
  }
  setup.attach('mount /proc/sys/net', network, '/proc/sys/net', true)
}

const DEVICES = ['null', 'zero', 'full', 'random', 'urandom', 'tty'] as const

/** Devices cannot be made in a user namespace, only mounted from where they are. */
function mountDev(
  setup: SetupProgram,
  devices: readonly { name: string; tree: Step }[],
  consoleTree: Step,
): void {
  setup.folder('/dev')
  setup.must('mount /dev', 'mount', 'dev', '/dev', 'tmpfs', MS_NOSUID, 'mode=0755')
  for (const { name, tree } of [...devices, { name: 'console', tree: consoleTree }]) {
    setup.file(`/dev/${name}`)
    setup.attach(`mount /dev/${name}`, tree, `/dev/${name}`, true)
  }
  const links = { fd: '/proc/self/fd', stdin: 'fd/0', stdout: 'fd/1', stderr: 'fd/2', ptmx: 'pts/ptmx' }
  for (const [name, target] of Object.entries(links))
    setup.must(`link /dev/${name}`, 'symlinkat', target, AT_FDCWD, `/dev/${name}`)
  setup.folder('/dev/pts')
  const noFlags = MS_NOSUID | MS_NOEXEC
  setup.must(
    'mount /dev/pts',
    'mount',
    'devpts',
    '/dev/pts',
    'devpts',
    noFlags,
    'newinstance,ptmxmode=0666,mode=0620',
  )
  setup.folder('/dev/shm')
  setup.must('mount /dev/shm', 'mount', 'shm', '/dev/shm', 'tmpfs', MS_NOSUID | MS_NODEV, 'mode=1777')
}

function mountShare(setup: SetupProgram, { host, guest, writable, kind }: ResolvedShare, tree: Step): void {
  if (kind === 'folder') setup.folder(guest)
  else {
    setup.folder(guest.slice(0, guest.lastIndexOf('/')))
    setup.file(guest)
  }
  setup.attach(`mount ${host} at ${guest}`, tree, guest, writable)
}

/** `struct ifreq` (include/uapi/linux/if.h): the name in 16 bytes, then the flags. */
function raiseLoopback(setup: SetupProgram): void {
  const request = new Uint8Array(40)
  new TextEncoder().encodeInto('lo', request)
  new DataView(request.buffer).setInt16(16, IFF_UP, true)
  const socket = setup.may('socket', AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)
  setup.may('ioctl', socket, SIOCSIFFLAGS, request)
}

function execute(setup: SetupProgram, { program, args, env, control }: SetupOptions, terminal: Step): void {
  for (const fd of [0, 1, 2]) setup.must('dup3', 'dup3', terminal, fd, 0)
  if (!control) setup.may('close', FDS.control)
  setup.may('fcntl', FDS.sync, F_SETFD, FD_CLOEXEC)
  setup.must(`execute ${program}`, 'faccessat', AT_FDCWD, program, X_OK)
  setup.say(FDS.sync, WORDS.started)
  const environment = Object.entries(env).map(([name, value]) => `${name}=${value}`)
  setup.must(`execute ${program}`, 'execve', program, vector([program, ...args]), vector(environment))
}
