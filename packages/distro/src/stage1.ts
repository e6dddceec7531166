// Stage 1 of an appliance's boot: the initramfs' /init, as a list of system calls. It loads modules, arms a watchdog,
// finds the root image by its id on whatever disk it lies, opens it under dm-verity, makes it the root and executes
// PID 1. When it cannot, it says in one line why, and reboots.
import {
  AT_FDCWD,
  MS_MOVE,
  MS_NODEV,
  MS_NOEXEC,
  MS_NOSUID,
  MS_RDONLY,
  O_CLOEXEC,
  O_RDONLY,
  O_WRONLY,
} from '@pkg/sys/constants'
import { type Label, type Memory, Program, type Step, type Text, vector } from '@pkg/sys/program'
import { Candidates } from './stage1/candidates.ts'
import { OwnDisk } from './stage1/own-disk.ts'
import {
  type ResolvedStage1Options,
  resolveOptions,
  type Stage1Options,
  uuidBytes,
} from './stage1/options.ts'
import { limitReadAhead } from './stage1/read-ahead.ts'
import { Report } from './stage1/report.ts'
import { rootDevice, VerityDevice } from './stage1/verity-device.ts'
import { armWatchdog } from './stage1/watchdog.ts'

export { staticProgram as stage1Elf } from './build/static-program.ts'
export { type ModuleProfile, stage1Modules, stage1ModulesOf } from './stage1/modules.ts'
export type { Stage1Options, Stage1Verity } from './stage1/options.ts'
export { watchdogFd, watchdogVariable } from './stage1/watchdog.ts'

/** Folders that the initramfs must have, empty, beside `/dev/console`; the root must have the first three. */
export const stage1Folders: readonly string[] = ['/dev', '/proc', '/sys', '/root']

/** Sleep between two looks for the root: its driver probes beside us, which takes milliseconds. */
const retryMs = 10

/** Sleep after a candidate was found and refused: the kernel says why each time, and it will hardly get better. */
const refusedRetryMs = 1000

/**
 * The program of stage 1.
 *
 * Every device is tried that carries `rootImageId` in an EROFS superblock; one that dm-verity or the file system
 * refuses is passed over for the next, again and again until the deadline. {@link stage1Elf} makes the executable
 * `/init` of it. What it says goes to the kernel's log, and
 * so to the consoles: `solo stage 1: cannot mount /proc: EPERM; rebooting in 10 s`.
 *
 * @throws TypeError or RangeError for options that cannot be
 *
 * @example
 * ```ts
 * import { stage1 } from '@pkg/distro/stage1'
 *
 * const program = stage1({
 *   modules: ['/virtio_blk.ko', '/erofs.ko'],
 *   rootImageId: '0b5e6a54-7f3c-4c0e-9d0a-5b7c6f1e2d3c',
 *   verity: { rootHash: 'ab'.repeat(32), salt: '00', dataBlocks: 1000, hashStartBlock: 1001 },
 *   init: ['/bin/bun', '/sbin/init.js'],
 *   environment: { PATH: '/bin' },
 * })
 * console.assert(program.explain().includes('execve("/bin/bun", ["/bin/bun", "/sbin/init.js"]'))
 * ```
 */
export function stage1(given: Stage1Options): Program {
  const options = resolveOptions(given)
  const program = new Program()
  const report = new Report(program, options.rebootDelayMs)
  mountKernelFolders(program, report)
  loadModules(program, report, options.modules)
  const environment = environmentWords(program, options.environment)
  if (options.watchdogSeconds !== undefined) {
    armWatchdog(program, options.watchdogSeconds, environment.at(environment.sizeBytes - 16))
  }
  findRoot(program, report, options)
  limitReadAhead(program)
  changeRoot(report)
  const [file] = options.init
  report.must(`execute ${file}`, 'execve', file, vector(options.init), environment)
  report.finish()
  return program
}

function mountKernelFolders(program: Program, report: Report): void {
  // EBUSY: a kernel with CONFIG_DEVTMPFS_MOUNT may have been there before us.
  report.must('mount /dev', 'mount', 'devtmpfs', '/dev', 'devtmpfs', MS_NOSUID, 'mode=0755').tolerate('EBUSY')
  const withoutLog = program.label('without log')
  report.writeTo(program.call('openat', AT_FDCWD, '/dev/kmsg', O_WRONLY | O_CLOEXEC).otherwise(withoutLog))
  program.place(withoutLog)
  const flags = MS_NOSUID | MS_NODEV | MS_NOEXEC
  report.must('mount /proc', 'mount', 'proc', '/proc', 'proc', flags, null)
  report.must('mount /sys', 'mount', 'sysfs', '/sys', 'sysfs', flags, null)
}

/** One that cannot be loaded is told of and passed over: whether it was needed is seen when the root is looked for. */
function loadModules(program: Program, report: Report, paths: readonly string[]): void {
  program.each(paths, (path) => {
    const [failed, loaded] = [program.label('not loaded'), program.label('loaded')]
    const file = program.call('openat', AT_FDCWD, path, O_RDONLY | O_CLOEXEC).otherwise(failed)
    // ENODEV: for a processor or bus that this machine is without, as modprobe(8) passes over too. ENOENT: uses symbols
    // of such a one; the kernel says which.
    program.call('finit_module', file, '', 0).tolerate('ENODEV').tolerate('ENOENT').otherwise(failed)
    program.jump(loaded)
    program.place(failed)
    report.say('cannot load ', path, ': ', report.errorName())
    program.place(loaded)
    program.call('close', file).ignoreErrors()
    // The initramfs is memory, and stays below the root for ever.
    program.call('unlinkat', AT_FDCWD, path, 0).ignoreErrors()
  })
  program.call('unlinkat', AT_FDCWD, '/init', 0).ignoreErrors()
}

/** The vector of the environment, with a free word before the terminating null. */
function environmentWords(program: Program, environment: Readonly<Record<string, string>>): Memory {
  const variables = Object.entries(environment).map(([name, value]) => `${name}=${value}`)
  return program.words([...variables, null, null])
}

function findRoot(program: Program, report: Report, options: ResolvedStage1Options): void {
  const { rootImageId, verity, deadlineMs } = options
  const device = new VerityDevice(program, report, verity)
  const candidates = new Candidates(program, report)
  const own = new OwnDisk(program, candidates)
  /** What became of the last candidate that was refused. */
  const refusal = program.text(program.memory(200))
  const doing = program.memory(8)
  const [late, rootless, found] = [program.label('late'), program.label('no root'), program.label('found')]

  program.retry({ withinMs: deadlineMs, everyMs: retryMs, otherwise: late }, (again) => {
    const none = program.label('no more devices')
    own.choose({ again, over: rootless })
    candidates.each(uuidBytes(rootImageId), none, (next) => {
      const refused = program.label('refused')
      const attempt = (words: string, add: () => Step): void => {
        program.set(doing, words)
        add().otherwise(refused)
      }
      device.open(candidates.name, attempt)
      attempt('mount it', () => program.call('mount', rootDevice, '/root', 'erofs', MS_RDONLY, null))
      program.jump(found)
      program.place(refused)
      program.clear(refusal)
      program.append(refusal, '; cannot ', doing.word(), ' on ', candidates.name, ': ', report.errorName())
      device.close()
      program.jump(next)
    })
    program.place(none)
    skipUnlessRefused(program, refusal, again)
    program.sleep(refusedRetryMs)
    program.jump(again)
  })
  program.place(late)
  const seconds = deadlineMs / 1000
  report.giveUp(`cannot find the root image ${rootImageId} within ${seconds} s`, refusal.begin)
  program.place(rootless)
  report.giveUp(`cannot find the root image ${rootImageId} on the loader's disk`, refusal.begin)
  program.place(found)
  const straight = program.label('no candidate was refused')
  skipUnlessRefused(program, refusal, straight)
  report.say('found the root image on ', candidates.name, refusal.begin)
  program.place(straight)
}

/** Goes on at `label` when no candidate has been refused so far. */
function skipUnlessRefused(program: Program, refusal: Text, label: Label): void {
  program.below(refusal.begin, refusal.cursor.word()).otherwise(label)
}

/** As switch_root(8) does it: pivot_root(2) refuses to leave an initramfs. */
function changeRoot(report: Report): void {
  for (const path of ['/dev', '/proc', '/sys']) {
    report.must(`move ${path}`, 'mount', path, `/root${path}`, null, MS_MOVE, null)
  }
  report.must('enter the root', 'chdir', '/root')
  report.must('move the root', 'mount', '.', '/', null, MS_MOVE, null)
  report.must('change the root', 'chroot', '.')
  report.must('enter the root', 'chdir', '/')
}
