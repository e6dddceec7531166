// The kernel's /init: a static program of a few system calls that gives Bun what it cannot start without.
import { writeStaticElf } from '@pkg/image/elf'
import { bootStub } from '@pkg/sys/boot-stub'
import type { Architecture } from '../host/system.ts'
