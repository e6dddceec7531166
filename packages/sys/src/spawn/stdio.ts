// The descriptors of a child: its standard input, output and error, pipes among them, and further ones.
import { fdNumber, type OwnedFd } from '../fd.ts'
import { duplicate, pipe2, setNonBlocking } from '../io.ts'
import type { SpawnOptions } from '../spawn.ts'
import type { ChildPipes } from './child.ts'
import type { ChildFd } from './steps.ts'

/** Closes them all. */
export function closeAll(fds: readonly OwnedFd[]): void {
  for (const fd of fds) fd.close()
}

/** The child's first three descriptors. */
export interface OpenedStdio {
  /** What each of 0, 1, 2 will be in the child. */
  ours: [ChildFd, ChildFd, ChildFd]
  /** Pipe ends for the parent to keep. */
  parent: ChildPipes
  /** Pipe ends to close once the child has them. */
  child: OwnedFd[]
}

const stdioNames = ['stdin', 'stdout', 'stderr'] as const

/**
 * Opens the pipes that `options` ask for; what was opened before an error is in `opened`.
 *
 * @throws {@link SysError} `EMFILE`; TypeError for a closed descriptor
 */
export function openStdio(options: SpawnOptions, opened: OpenedStdio): void {
  for (const [number, name] of stdioNames.entries()) {
    const stdio = options.stdio?.[number] ?? 'inherit'
    if (stdio === 'inherit') continue
    if (stdio !== 'pipe') {
      opened.ours[number] = stdio === 'null' ? stdio : fdNumber(stdio)
      continue
    }
    const pipe = pipe2(0)
    const [kept, given] = (number === 0 ? [pipe.write, pipe.read] : [pipe.read, pipe.write]).map(
      aboveStdio,
    ) as [OwnedFd, OwnedFd]
    opened.parent[name] = kept
    opened.child.push(given)
    setNonBlocking(kept, true)
    opened.ours[number] = given.fd
  }
}

/** Where our own 0, 1 or 2 is closed a new pipe takes its number, and 'inherit' would hand it on. */
function aboveStdio(fd: OwnedFd): OwnedFd {
  if (fd.fd > 2) return fd
  using low = fd
  return duplicate(low)
}

/**
 * What each number of the child will be.
 *
 * @throws TypeError for a closed descriptor; RangeError for what is no number above stdio
 */
export function childFds(options: SpawnOptions, stdio: readonly ChildFd[]): Map<number, ChildFd> {
  const fds = new Map<number, ChildFd>(stdio.entries())
  for (const [number, fd] of Object.entries(options.fds ?? {})) {
    const target = Number(number)
    if (!Number.isInteger(target) || target < 3)
      throw new RangeError(`fds: not a number above stdio: ${number}`)
    fds.set(target, fdNumber(fd))
  }
  return fds
}
