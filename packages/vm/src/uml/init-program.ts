/**
 * The kernel's init, as a list of system calls: its root is a small folder of ours on hostfs, with this program in it.
 * It makes an overlay over the guest's folder, which is only read, makes that the root, and executes PID 1.
 */
import { vector } from '@pkg/sys/program'
import type { Program } from '@pkg/sys/program'
import { AT_FDCWD, MNT_DETACH, MS_BIND, MS_NODEV, MS_NOEXEC, MS_NOSUID, MS_RDONLY } from '@pkg/sys/constants'
import { O_CLOEXEC, O_RDONLY, O_RDWR } from '@pkg/sys/constants'
import { HOST_ROOT, type ResolvedShare } from '../namespace/setup.ts'
import { SetupProgram } from '../process-machine/setup-program.ts'

/** What the program is to build. Paths of the host are absolute. */
export interface InitOptions {
  folder: string
  program: string
  args: readonly string[]
  env: Readonly<Record<string, string>>
  shares: readonly ResolvedShare[]
  hostRoot: boolean
  /** The host's folder of the kernel's modules, and its place in the guest unless the guest's folder has its own. */
  modules: { host: string; guest: string | undefined }
}

/** Folders that must be in the folder of the program. */
export const MOUNT_POINTS = ['lower', 'rw', 'modules'] as const

/** The module of Debian's kernel, which depends on no other, in the folder of the modules. */
const OVERLAY = 'kernel/fs/overlayfs/overlay.ko'

/** The program that the kernel runs as `/init`. A failure is on the console, and a panic. */
export function initProgram({ folder, program, args, env, shares, hostRoot, modules }: InitOptions): Program {
  // Standard error: the console.
  const setup = new SetupProgram(2)
  setup.must(`mount ${modules.host}`, 'mount', 'none', '/modules', 'hostfs', MS_RDONLY, modules.host)
  // A kernel with an overlay of its own has no such file.
  const overlay = setup.may('openat', AT_FDCWD, `/modules/${OVERLAY}`, O_RDONLY | O_CLOEXEC)
  setup.may('finit_module', overlay, '', 0)
  setup.must(`mount ${folder}`, 'mount', 'none', '/lower', 'hostfs', MS_RDONLY, folder)
  setup.must('mount a tmpfs', 'mount', 'tmpfs', '/rw', 'tmpfs', 0, 'mode=0755')
  for (const name of ['upper', 'work', 'root']) setup.must('mkdir', 'mkdirat', AT_FDCWD, `/rw/${name}`, 0o755)
  const layers = 'lowerdir=/lower,upperdir=/rw/upper,workdir=/rw/work'
  setup.must('mount the root', 'mount', 'overlay', '/rw/root', 'overlay', 0, layers)
  setup.must('enter the root', 'chdir', '/rw/root')
  setup.must('enter the root', 'pivot_root', '.', '.')
  setup.must('let go of the first root', 'umount2', '.', MNT_DETACH)
  setup.must('enter the root', 'chdir', '/')
  mountKernelFolders(setup)
  const guestModules = modules.guest
  if (guestModules !== undefined)
    mountHost(setup, { host: modules.host, guest: guestModules, writable: false, kind: 'folder' })
  if (hostRoot) mountHost(setup, { host: '/', guest: HOST_ROOT, writable: false, kind: 'folder' })
  for (const share of shares) mountHost(setup, share)
  const terminal = setup.must('open the console', 'openat', AT_FDCWD, '/dev/console', O_RDWR | O_CLOEXEC)
  for (const fd of [0, 1, 2]) setup.must('open the console', 'dup3', terminal, fd, 0)
  const environment = Object.entries(env).map(([name, value]) => `${name}=${value}`)
  setup.must(`execute ${program}`, 'execve', program, vector([program, ...args]), vector(environment))
  return setup.finish()
}

/** Bun aborts without /proc; the rest is what PID 1 finds in the other backends too. */
function mountKernelFolders(setup: SetupProgram): void {
  const noFlags = MS_NOSUID | MS_NODEV | MS_NOEXEC
  const rows = [
    ['proc', '/proc', noFlags, ''],
    ['sysfs', '/sys', noFlags, ''],
    ['devtmpfs', '/dev', MS_NOSUID, 'mode=0755'],
    ['devpts', '/dev/pts', MS_NOSUID | MS_NOEXEC, 'mode=0620,ptmxmode=0666'],
    ['tmpfs', '/dev/shm', MS_NOSUID | MS_NODEV, 'mode=1777'],
    ['tmpfs', '/run', MS_NOSUID | MS_NODEV, 'mode=0755'],
    ['tmpfs', '/tmp', MS_NOSUID | MS_NODEV, 'mode=1777'],
  ] as const
  for (const [type, path, flags, data] of rows) {
    setup.folder(path)
    setup.must(`mount ${path}`, 'mount', type, path, type, flags, data)
  }
}

function mountHost(setup: SetupProgram, { host, guest, writable, kind }: ResolvedShare): void {
  const flags = writable ? 0 : MS_RDONLY
  if (kind === 'folder') {
    setup.folder(guest)
    setup.must(`mount ${host} at ${guest}`, 'mount', 'none', guest, 'hostfs', flags, host)
    return
  }
  // The root of a hostfs must be a folder (reading a file as root is ENOMEM in 6.1): the file is bound out of it.
  const slash = host.lastIndexOf('/')
  setup.folder(guest.slice(0, guest.lastIndexOf('/')))
  setup.file(guest)
  setup.folder(FOLDER_OF_FILE)
  setup.must(`mount ${host}`, 'mount', 'none', FOLDER_OF_FILE, 'hostfs', flags, host.slice(0, slash) || '/')
  const file = `${FOLDER_OF_FILE}/${host.slice(slash + 1)}`
  setup.must(`mount ${host} at ${guest}`, 'mount', file, guest, null, MS_BIND, null)
  setup.must(`mount ${host} at ${guest}`, 'umount2', FOLDER_OF_FILE, MNT_DETACH)
}

/** Where the folder of a shared file is while the file is being mounted. */
const FOLDER_OF_FILE = '/run/solo-share'
