// How much is read around a page that is not there. The root is one large program that is read all over, each block of it
// hashed: with little memory, what was read ahead is thrown away before anybody looks at it, and so is what was in use.
import { AT_FDCWD, O_CLOEXEC, O_WRONLY } from '@pkg/sys/constants'
import type { Program } from '@pkg/sys/program'
import { sysinfo } from '@pkg/sys/structs'

/**
 * With less memory than this, little is read ahead. Measured under QEMU on a busy machine, to the service's first line:
 * with 96 MiB 138 s, and 29 s with 4 KiB ahead; with 512 MiB 15 s, and 23 s or more.
 */
const scarceBytes = 144 * 1024 * 1024

/** In KiB; Linux begins with 128. */
const scarceReadAhead = '4'

/** The only mapped device there is, so its number is the first. */
const setting = '/sys/block/dm-0/queue/read_ahead_kb'

/** Adds the steps that have less read ahead where memory is scarce. */
export function limitReadAhead(program: Program): void {
  const plenty = program.label('memory enough')
  const info = program.memory(sysinfo.size)
  program.call('sysinfo', info).otherwise(plenty)
  // In bytes: `mem_unit` is 1 on machines of 64 bits (kernel/sys.c, `do_sysinfo`).
  program.below(info.word(sysinfo.fields.totalram[1]), scarceBytes).otherwise(plenty)
  const file = program.call('openat', AT_FDCWD, setting, O_WRONLY | O_CLOEXEC).otherwise(plenty)
  program.call('write', file, scarceReadAhead, scarceReadAhead.length).ignoreErrors()
  program.call('close', file).ignoreErrors()
  program.place(plenty)
}
