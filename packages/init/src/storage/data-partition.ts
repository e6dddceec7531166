/**
 * The data partition: formatted when it never was, checked when it was not unmounted, and mounted. What is neither
 * ours nor ext4 is left as it is: nothing is ever formatted over.
 */
import { mount } from '@pkg/mount/mount'
import { installExt4, prepareExt4 } from '@pkg/image/ext4'
import { FileTree } from '@pkg/image/tree'
import type { LogPriority } from '../core.ts'
import type { Programs } from '../shell/programs.ts'
import { BlockDevice } from './block-device.ts'
import { contentOf, HEAD_BYTES, MARK_BYTES, type DataContent } from './ext4-head.ts'
import { growExt4 } from './resize.ts'

/** What mounting needs. */
export interface DataContext {
  /** Runs e2fsck. */
  readonly programs: Programs
  /** Writes a line of PID 1's. */
  readonly log: (priority: LogPriority, text: string) => void
}

const E2FSCK = '/sbin/e2fsck'

/** ext4 leaves a rest unused that would not hold its own structures (less than this of a group of 128 MiB). */
const UNUSED_BYTES = 4 * 1024 * 1024

/** A check of a large disk takes minutes; one that takes longer than this hangs. */
const CHECK_MS = 30 * 60_000

/** Bits of e2fsck's status: errors were corrected; some were left. @see https://man7.org/linux/man-pages/man8/e2fsck.8.html */
const CORRECTED = 1 | 2
const LEFT = ~CORRECTED

/** Without it a program could plant a device or a set-user-id program where services write. */
const OPTIONS = 'nosuid,nodev,errors=remount-ro'

/**
 * Makes a data partition ready and mounts it.
 *
 * @param device - its path
 * @param target - where it goes
 * @returns what was done
 * @throws Error it cannot be used, with the reason; nothing on it was changed then
 */
export async function mountData(device: string, target: string, context: DataContext): Promise<string> {
  const { content, deviceBytes } = await look(device)
  const done: string[] = []
  if (content.kind === 'unknown')
    throw new Error(
      `${device} has neither ext4 nor the mark of a new image: it is left as it is, and not used`,
    )
  if (content.kind === 'never-formatted') {
    const discarded = await format(device)
    done.push('formatted', ...(discarded ? ['old blocks discarded'] : []))
  } else if (!content.clean) {
    done.push(await check(device, context))
  }
  mount({ source: device, target, type: 'ext4', options: OPTIONS })
  if (content.kind === 'ext4' && content.sizeBytes < deviceBytes - UNUSED_BYTES) {
    try {
      growExt4(target, deviceBytes)
      done.push('grown')
    } catch (error) {
      // It is in use, and has what it had; the next boot tries again.
      const reason = error instanceof Error ? error.message : String(error)
      context.log('error', `${device} cannot be grown to ${deviceBytes} bytes: ${reason}`)
    }
  }
  return [device, ...done].join(', ')
}

async function look(device: string): Promise<{ content: DataContent; deviceBytes: number }> {
  using opened = new BlockDevice(device, 'read')
  return { content: contentOf(await opened.read(0, HEAD_BYTES)), deviceBytes: opened.sizeBytes }
}

/** What is discarded begins here: the mark stays, and devices want whole erase blocks. */
const DISCARD_FROM_BYTES = 1024 * 1024

/**
 * What lay on the partition before, a factory reset's old data, is discarded where the device can do that.
 *
 * The mark goes last: as long as it is there, nothing has been kept here, and formatting begins anew. It lies in the
 * first 512 bytes, where ext4 has nothing, so that the last write is of one sector: the disk does it whole or not.
 *
 * @returns whether the device has discarded
 */
async function format(path: string): Promise<boolean> {
  using device = new BlockDevice(path, 'write')
  const rest = device.sizeBytes - DISCARD_FROM_BYTES
  const discarded = rest > 0 && device.discard(DISCARD_FROM_BYTES, rest)
  const image = prepareExt4(new FileTree(), {
    sizeBytes: device.sizeBytes,
    uuid: crypto.randomUUID(),
    volumeName: 'data',
    timeSeconds: Math.floor(Date.now() / 1000),
  })
  await installExt4(image, {
    flush: () => device.flush(),
    write(bytes, offsetBytes) {
      if (offsetBytes !== 0) return device.write(offsetBytes, bytes)
      device.write(MARK_BYTES, bytes.subarray(MARK_BYTES))
      device.flush()
      return device.write(0, bytes.subarray(0, MARK_BYTES))
    },
  })
  return discarded
}

async function check(device: string, { programs, log }: DataContext): Promise<string> {
  const { code, signal } = await programs.run({
    file: E2FSCK,
    args: ['-p', device],
    timeoutMs: CHECK_MS,
    onLine: (line) => log('notice', `e2fsck: ${line}`),
  })
  if (code === null) throw new Error(`e2fsck ${device} was ended by signal ${signal}`)
  if ((code & LEFT) !== 0) throw new Error(`e2fsck ${device} ended with ${code}: it needs a hand`)
  return code === 0 ? 'checked' : 'checked and corrected'
}
