// Where a file has data and where it has holes.
import { SEEK_DATA, SEEK_HOLE } from '@pkg/sys/constants'
import { isSysError } from '@pkg/sys/errno'
import { lseek } from '@pkg/sys/io'

/** A run of a file. */
export interface Run {
  readonly startBytes: number
  readonly endBytes: number
  /** Holes are read as zeros, and take no room. */
  readonly isHole: boolean
}

/** All runs of an open file up to `sizeBytes`, in their order. A file system that knows no holes has one run of data. */
export function* runsOf(fd: number, sizeBytes: number): Generator<Run, void, void> {
  for (let at = 0; at < sizeBytes;) {
    const data = Math.min(dataFrom(fd, at, sizeBytes), sizeBytes)
    if (data > at) yield { startBytes: at, endBytes: data, isHole: true }
    if (data === sizeBytes) return
    const hole = Math.min(lseek(fd, data, SEEK_HOLE), sizeBytes)
    yield { startBytes: data, endBytes: hole, isHole: false }
    at = hole
  }
}

function dataFrom(fd: number, at: number, sizeBytes: number): number {
  try {
    return lseek(fd, at, SEEK_DATA)
  } catch (error) {
    // There is none behind `at`.
    if (isSysError(error, 'ENXIO')) return sizeBytes
    throw error
  }
}
