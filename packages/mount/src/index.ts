// The root of @pkg/mount: what nearly every user needs. Everything else has a path of its own.
export { bindMount, mount, mountTmpfs } from './mount.ts'
export { readMountinfo } from './mountinfo.ts'
export { unmount } from './unmount.ts'
