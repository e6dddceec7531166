import { importConstants } from './constants.ts'

/**
 * `import('@pkg/sys/mount')` in a function that was sent here: the modules are in the agent's own bundle, not on the
 * guest's disk. Each is loaded at its first use.
 */
const table: Readonly<Record<string, () => Promise<object>>> = {
  block: () => import('@pkg/sys/block'),
  'boot-stub': () => import('@pkg/sys/boot-stub'),
  bpf: () => import('@pkg/sys/bpf'),
  capability: () => import('@pkg/sys/capability'),
  constants: importConstants,
  'device-mapper': () => import('@pkg/sys/device-mapper'),
  errno: () => import('@pkg/sys/errno'),
  event: () => import('@pkg/sys/event'),
  exec: () => import('@pkg/sys/exec'),
  fanotify: () => import('@pkg/sys/fanotify'),
  fd: () => import('@pkg/sys/fd'),
  'file-control': () => import('@pkg/sys/file-control'),
  fs: () => import('@pkg/sys/fs'),
  futex: () => import('@pkg/sys/futex'),
  inotify: () => import('@pkg/sys/inotify'),
  io: () => import('@pkg/sys/io'),
  'io-uring': () => import('@pkg/sys/io-uring'),
  key: () => import('@pkg/sys/key'),
  landlock: () => import('@pkg/sys/landlock'),
  limits: () => import('@pkg/sys/limits'),
  memory: () => import('@pkg/sys/memory'),
  'message-queue': () => import('@pkg/sys/message-queue'),
  module: () => import('@pkg/sys/module'),
  mount: () => import('@pkg/sys/mount'),
  namespace: () => import('@pkg/sys/namespace'),
  'net-device': () => import('@pkg/sys/net-device'),
  numa: () => import('@pkg/sys/numa'),
  param: () => import('@pkg/sys/param'),
  perf: () => import('@pkg/sys/perf'),
  prctl: () => import('@pkg/sys/prctl'),
  process: () => import('@pkg/sys/process'),
  'process-memory': () => import('@pkg/sys/process-memory'),
  program: () => import('@pkg/sys/program'),
  quota: () => import('@pkg/sys/quota'),
  random: () => import('@pkg/sys/random'),
  raw: () => import('@pkg/sys/raw'),
  reactor: () => import('@pkg/sys/reactor'),
  reboot: () => import('@pkg/sys/reboot'),
  rtc: () => import('@pkg/sys/rtc'),
  'run-program': () => import('@pkg/sys/run-program'),
  scheduler: () => import('@pkg/sys/scheduler'),
  seccomp: () => import('@pkg/sys/seccomp'),
  shm: () => import('@pkg/sys/shm'),
  signal: () => import('@pkg/sys/signal'),
  socket: () => import('@pkg/sys/socket'),
  spawn: () => import('@pkg/sys/spawn'),
  struct: () => import('@pkg/sys/struct'),
  structs: () => import('@pkg/sys/structs'),
  system: () => import('@pkg/sys/system'),
  'sysv-ipc': () => import('@pkg/sys/sysv-ipc'),
  terminal: () => import('@pkg/sys/terminal'),
  thread: () => import('@pkg/sys/thread'),
  time: () => import('@pkg/sys/time'),
  tun: () => import('@pkg/sys/tun'),
  userfault: () => import('@pkg/sys/userfault'),
  watchdog: () => import('@pkg/sys/watchdog'),
  xattr: () => import('@pkg/sys/xattr'),
}

/** A subpath of `@pkg/sys`: by its name, or as vite resolves it, to a file of a workspace or of node_modules. */
const SYS_MODULE =
  /(?:^@pkg\/sys\/|\/packages\/sys\/(?:src|dist)\/|\/@pkg\/sys\/(?:src|dist)\/)([\w-]+)(?:\.[jt]s)?(?:\?.*)?$/

/**
 * `import(specifier)` as the guest can do it.
 *
 * @throws Error no such module in the guest
 */
export async function importInGuest(specifier: string): Promise<unknown> {
  const load = table[SYS_MODULE.exec(specifier)?.[1] ?? '']
  if (load) return load()
  try {
    return await import(specifier)
  } catch (error) {
    if (!/Cannot find (?:module|package)/.test(String(error))) throw error
    const message =
      `import('${specifier}'): not in the guest. There are node: and bun: modules, @pkg/sys/…, and files by their ` +
      'absolute path (see copyIn)'
    throw new Error(message, { cause: error })
  }
}
