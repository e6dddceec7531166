/**
 * What makes this machine itself, kept on the data partition: its id, its name, and a seed of randomness. A factory
 * reset makes it a new machine.
 */
import { AT_FDCWD, O_CLOEXEC, O_WRONLY } from '@pkg/sys/constants'
import { openat } from '@pkg/sys/fs'
import { writeAll } from '@pkg/sys/io'
import { makeFolder } from '../shell/cgroup.ts'
import { bytesIfThere, readIfThere, writeSafely } from '../shell/safe-file.ts'

/** Where it lies, below `/var`. */
const FOLDER = 'lib/solo'

/** As many bytes as the kernel's generator takes in (systemd's random-seed(8) keeps as many). */
const SEED_BYTES = 512

/** The machine's id: 32 hexadecimal digits, made at the first boot. @see https://man7.org/linux/man-pages/man5/machine-id.5.html */
export function machineId(data: string): string {
  const path = `${stateFolder(data)}/machine-id`
  const there = readIfThere(path)?.trim()
  if (there !== undefined && /^[0-9a-f]{32}$/.test(there)) return there
  // A version 4 uuid, as sd-id128 wants it.
  const id = crypto.randomUUID().replaceAll('-', '')
  writeSafely(path, new TextEncoder().encode(`${id}\n`), 0o444)
  return id
}

/** The name that was given to this one machine; undefined where it has that of the appliance. */
export function ownHostname(data: string): string | undefined {
  const name = readIfThere(`${stateFolder(data)}/hostname`)?.trim()
  return name === '' ? undefined : name
}

/**
 * Stirs the seed of the last boot into the kernel's generator, and puts a new one in its place before anything can
 * have been made from the old one: no seed serves twice. It is not counted as entropy, as a disk may have been copied.
 *
 * @param device - where the kernel takes what is stirred in
 */
export function renewRandomSeed(data: string, device = '/dev/urandom'): 'stirred in' | 'made' {
  const path = `${stateFolder(data)}/random-seed`
  const old = bytesIfThere(path)
  if (old !== undefined) {
    using generator = openat(AT_FDCWD, device, O_WRONLY | O_CLOEXEC)
    writeAll(generator, old)
  }
  writeSafely(path, crypto.getRandomValues(new Uint8Array(SEED_BYTES)), 0o600)
  return old === undefined ? 'made' : 'stirred in'
}

/** The folder of PID 1's own state, made where it is not there. */
export function stateFolder(data: string): string {
  makeFolder(`${data}/lib`)
  makeFolder(`${data}/${FOLDER}`)
  return `${data}/${FOLDER}`
}
