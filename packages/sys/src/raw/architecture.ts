// The two architectures that Solo speaks, and which one this process runs on.

/** An architecture by Node's name for it. */
export type Architecture = 'x64' | 'arm64'

/**
 * The architecture of this process.
 *
 * @throws TypeError on any other architecture or operating system, before any system call is made
 */
export function currentArchitecture(): Architecture {
  const { arch, platform } = process
  if (platform !== 'linux' || (arch !== 'x64' && arch !== 'arm64')) {
    throw new TypeError(`@pkg/sys makes Linux system calls on x64 and arm64; this is ${platform} on ${arch}`)
  }
  return arch
}
