/**
 * The `/init` of a small initramfs, as a list of system calls: it loads the few modules that the root needs, mounts
 * the root image with an overlay in memory above it, makes that the root, and executes PID 1. Bun itself then lies on
 * the disk, where only the pages that are used are read, and not in the guest's memory.
 */
import {
  AT_FDCWD,
  MS_MOVE,
  MS_NODEV,
  MS_NOEXEC,
  MS_NOSUID,
  MS_RDONLY,
  O_CLOEXEC,
  O_RDONLY,
} from '@pkg/sys/constants'
import { type Label, Program, type Step, vector } from '@pkg/sys/program'

/** What the stage does. */
export interface Stage1Options {
  /** Modules in the initramfs, absolute paths, in the order in which they are loaded. */
  readonly modules: readonly string[]
  /** PID 1 and its arguments, in the root. */
  readonly init: readonly [program: string, ...args: string[]]
  /** All of PID 1's environment: unknown words of the kernel's command line must not get into it. */
  readonly environment: Readonly<Record<string, string>>
}

/** Folders that the initramfs must have, empty. */
export const STAGE1_FOLDERS: readonly string[] = ['/proc', '/sys', '/dev', '/image', '/changes', '/root']

/** The first virtio disk. Its driver probes beside us. */
const ROOT_DEVICE = '/dev/vda'

/** A device that is not there after this time will not come: probing takes milliseconds, seconds when starved. */
const DEVICE_SECONDS = 30

/** How often it is looked for. */
const RETRY_MS = 2

/** The program. A step that fails says on the console which; the kernel then panics, as its init has ended. */
export function stage1({ modules, init, environment }: Stage1Options): Program {
  const stage = new Stage()
  stage.must('mount /dev', 'mount', 'devtmpfs', '/dev', 'devtmpfs', MS_NOSUID, 'mode=0755').tolerate('EBUSY')
  const apiFlags = MS_NOSUID | MS_NODEV | MS_NOEXEC
  stage.must('mount /proc', 'mount', 'proc', '/proc', 'proc', apiFlags, null)
  stage.must('mount /sys', 'mount', 'sysfs', '/sys', 'sysfs', apiFlags, null)
  for (const path of modules) {
    // ENODEV: for a processor or device that this machine is without (crc32c_intel), as modprobe(8) passes over too.
    const file = stage.must(`open ${path}`, 'openat', AT_FDCWD, path, O_RDONLY | O_CLOEXEC)
    stage.must(`load ${path}`, 'finit_module', file, '', 0).tolerate('ENODEV')
    stage.program.call('close', file).ignoreErrors()
    // The initramfs is memory, and stays below the root for ever.
    stage.program.call('unlinkat', AT_FDCWD, path, 0).ignoreErrors()
  }
  waitForDevice(stage)
  stage.must('mount the root image', 'mount', ROOT_DEVICE, '/image', 'erofs', MS_RDONLY, null)
  stage.must('mount memory for changes', 'mount', 'tmpfs', '/changes', 'tmpfs', 0, 'mode=0755')
  stage.must('make a folder', 'mkdirat', AT_FDCWD, '/changes/upper', 0o755)
  stage.must('make a folder', 'mkdirat', AT_FDCWD, '/changes/work', 0o755)
  const overlay = 'lowerdir=/image,upperdir=/changes/upper,workdir=/changes/work'
  stage.must('mount the overlay', 'mount', 'overlay', '/root', 'overlay', 0, overlay)
  for (const path of ['/dev', '/proc', '/sys']) {
    stage.must(`move ${path}`, 'mount', path, `/root${path}`, null, MS_MOVE, null)
  }
  // As switch_root(8) does it: pivot_root(2) refuses to leave an initramfs.
  stage.must('enter the root', 'chdir', '/root')
  stage.must('move the root', 'mount', '.', '/', null, MS_MOVE, null)
  stage.must('change the root', 'chroot', '.')
  stage.must('enter the root', 'chdir', '/')
  const [program] = init
  const words = Object.entries(environment).map(([name, value]) => `${name}=${value}`)
  stage.must(`execute ${program}`, 'execve', program, vector(init), vector(words))
  return stage.finish()
}

/** Opens the device until it is there. */
function waitForDevice({ program, failure }: Stage): void {
  const absent = failure(`wait for ${ROOT_DEVICE}: it is not there after ${DEVICE_SECONDS} s`)
  const bounds = { withinMs: 1000 * DEVICE_SECONDS, everyMs: RETRY_MS, otherwise: absent }
  program.retry(bounds, (again) => {
    const device = program.call('openat', AT_FDCWD, ROOT_DEVICE, O_RDONLY | O_CLOEXEC).otherwise(again)
    program.call('close', device).ignoreErrors()
  })
}

/** A program whose steps say what they could not do. */
class Stage {
  readonly program: Program = new Program()
  readonly #failures: [words: string, label: Label][] = []

  /** A call that must succeed. */
  readonly must = (words: string, ...call: Parameters<Program['call']>): Step =>
    this.program.call(...call).otherwise(this.failure(words))

  /** Where to go on when something could not be done. */
  readonly failure = (words: string): Label => {
    const label = this.program.label()
    this.#failures.push([words, label])
    return label
  }

  finish(): Program {
    for (const [words, label] of this.#failures) {
      this.program.place(label)
      const line = `solo stage 1: cannot ${words}\n`
      this.program.call('write', 2, line, new TextEncoder().encode(line).length).ignoreErrors()
      this.program.call('exit_group', 1)
    }
    return this.program
  }
}
