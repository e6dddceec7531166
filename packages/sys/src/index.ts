// The root of @pkg/sys: errors and owned file descriptors. Everything else has a path of its own
// (`@pkg/sys/fs`, `@pkg/sys/process` …), so that a program loads what it uses.
export { isSysError, SysError } from './errno.ts'
export { type AsFd, OwnedFd } from './fd.ts'
