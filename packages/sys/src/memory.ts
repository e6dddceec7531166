// Memory with a fixed address, for what the kernel keeps an address of: mappings and arenas.
export {
  madvise,
  memfd_secret,
  mincore,
  mlock,
  mlock2,
  mlockall,
  mprotect,
  mremap,
  mseal,
  msync,
  munlock,
  munlockall,
} from './memory/control.ts'
export { type Mapping } from './memory/mapping.ts'
export { mmap, type MmapOptions } from './memory/map.ts'
