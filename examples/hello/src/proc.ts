// Reading the kernel's small text files, and the formats that several of them share.
import { O_CLOEXEC, O_RDONLY } from '@pkg/sys/constants'
import { isSysError } from '@pkg/sys/errno'
import type { AsFd } from '@pkg/sys/fd'
import { openat } from '@pkg/sys/fs'
import { read } from '@pkg/sys/io'

/** Most files of /proc fit into one page of memory; longer ones take several reads. */
const chunkSizeBytes = 4096

/**
 * What a file says, or null where it cannot be read: a process may end between the listing and the reading
 * (ENOENT before the file is open, ESRCH after), its files may be another user's (EACCES, EPERM), and a kernel
 * may lack the file.
 */
export function readText(folder: AsFd, path: string): string | null {
  return unlessGone(() => {
    using file = openat(folder, path, O_RDONLY | O_CLOEXEC)
    const decoder = new TextDecoder()
    const chunk = new Uint8Array(chunkSizeBytes)
    let text = ''
    for (;;) {
      const sizeBytes = read(file, chunk)
      if (sizeBytes === 0) return text + decoder.decode()
      text += decoder.decode(chunk.subarray(0, sizeBytes), { stream: true })
    }
  })
}

/** What `look` finds, or null where what it looks at is gone or not for us to see. */
export function unlessGone<T>(look: () => T): T | null {
  try {
    return look()
  } catch (error) {
    const expected = ['ENOENT', 'ESRCH', 'EACCES', 'EPERM', 'ENOTDIR', 'EOPNOTSUPP']
    if (isSysError(error) && expected.includes(error.code)) return null
    throw error
  }
}

/** `Name:<tab>value` lines, as /proc/PID/status and /proc/meminfo have them. */
export function parseFields(text: string): Map<string, string> {
  const fields = new Map<string, string>()
  for (const line of text.split('\n')) {
    const colon = line.indexOf(':')
    if (colon > 0) fields.set(line.slice(0, colon), line.slice(colon + 1).trim())
  }
  return fields
}

/** `1608 kB` in bytes (the kernel's kB are 1024 bytes); null for anything else. */
export function parseSize(value: string | undefined): number | null {
  const number = /^(\d+) kB$/.exec(value ?? '')?.[1]
  return number === undefined ? null : Number(number) * 1024
}
