/** Bringing a guest up: the kernel's file systems, the loopback, modules. What fails is told, and never fatal. */
import {
  AF_INET,
  AT_FDCWD,
  IFF_UP,
  MS_NODEV,
  MS_NOEXEC,
  MS_NOSUID,
  SIOCSIFFLAGS,
  SOCK_DGRAM,
} from '@pkg/sys/constants'
import { isSysError } from '@pkg/sys/errno'
import { symlinkat } from '@pkg/sys/fs'
import { ioctl } from '@pkg/sys/io'
import { mount } from '@pkg/sys/mount'
import { socket } from '@pkg/sys/socket'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { mountedTargets } from './info.ts'
import { hasOwnKernel, loadWantedModules } from './modules.ts'

const strict = MS_NOSUID | MS_NODEV | MS_NOEXEC

/** In this order; options as systemd has them (src/shared/mount-setup.c). gid 5 is `tty`. */
const fileSystems: readonly (readonly [target: string, type: string, flags: number, data: string])[] = [
  ['/proc', 'proc', strict, ''],
  ['/sys', 'sysfs', strict, ''],
  ['/dev', 'devtmpfs', MS_NOSUID, 'mode=0755'],
  ['/dev/pts', 'devpts', MS_NOSUID | MS_NOEXEC, 'mode=0620,gid=5,ptmxmode=0666'],
  ['/dev/shm', 'tmpfs', MS_NOSUID | MS_NODEV, 'mode=1777'],
  ['/run', 'tmpfs', MS_NOSUID | MS_NODEV, 'mode=0755'],
  ['/tmp', 'tmpfs', MS_NOSUID | MS_NODEV, 'mode=1777'],
  ['/sys/fs/cgroup', 'cgroup2', strict, 'nsdelegate,memory_recursiveprot'],
]

const links: readonly (readonly [path: string, target: string])[] = [
  ['/dev/fd', '/proc/self/fd'],
  ['/dev/stdin', '/proc/self/fd/0'],
  ['/dev/stdout', '/proc/self/fd/1'],
  ['/dev/stderr', '/proc/self/fd/2'],
]

/** The path of the program that the kernel runs for modules that it lacks; empty: none (proc(5)). */
const modprobe = '/proc/sys/kernel/modprobe'

/** Does all of it; returns what failed, in words. */
export function bringUp(): string[] {
  const problems: string[] = []
  const attempt = (step: () => void): void => {
    try {
      step()
    } catch (error) {
      problems.push(error instanceof Error ? error.message : String(error))
    }
  }
  let there: ReadonlySet<string> = new Set()
  attempt(() => (there = mountedTargets()))
  // Bun itself needs /proc, so it is there.
  const program = hasOwnKernel() ? exchangeModprobe('\n') : undefined
  for (const [target, type, flags, data] of fileSystems)
    if (!there.has(target)) attempt(() => mountOn(target, type, flags, data))
  for (const [path, target] of links) attempt(() => linkOnce(path, target))
  attempt(bringUpLoopback)
  attempt(() => problems.push(...loadWantedModules()))
  if (program !== undefined) exchangeModprobe(program)
  return problems
}

/**
 * Has the kernel run another program for modules that it lacks, and returns which it was. While a guest is brought up
 * it runs none: what is needed then is built in or loaded by name, and each question starts a Bun, which costs most of a
 * second in User Mode Linux.
 */
function exchangeModprobe(program: string): string | undefined {
  try {
    const before = readFileSync(modprobe, 'utf8')
    writeFileSync(modprobe, program)
    return before
  } catch {
    // A kernel without modules.
    return undefined
  }
}

/** A kernel may know fewer options (memory_recursiveprot is of 5.7), and a user namespace may map no group 5. */
function mountOn(target: string, type: string, flags: number, data: string): void {
  mkdirSync(target, { recursive: true })
  try {
    mount(type, target, type, flags, data)
  } catch (error) {
    if (!isSysError(error, 'EINVAL')) throw error
    mount(type, target, type, flags, type === 'devpts' ? 'newinstance,ptmxmode=0666' : '')
  }
}

function linkOnce(path: string, target: string): void {
  try {
    symlinkat(target, AT_FDCWD, path)
  } catch (error) {
    if (!isSysError(error, 'EEXIST')) throw error
  }
}

/** `struct ifreq` (linux/if.h): a name of 16 bytes, then the flags; 40 bytes in all. */
function bringUpLoopback(): void {
  using control = socket(AF_INET, SOCK_DGRAM, 0)
  const request = new Uint8Array(new ArrayBuffer(40))
  request.set(new TextEncoder().encode('lo'))
  new DataView(request.buffer).setInt16(16, IFF_UP, true)
  ioctl(control, SIOCSIFFLAGS, request)
}
