/** Turns the words QEMU leaves behind when it does not start into an error that says what to do. */
import { PortInUseError, QemuStartError, UnsupportedError } from '../errors.ts'

/** What QEMU says, and what helps. QEMU's texts are those of version 7.2; the errno texts are glibc's. */
const ADVICE: readonly [RegExp, string][] = [
  [/No space left on device/, 'the disk is full: make room (df -h shows where) and try again'],
  [
    /cannot set up guest memory|Cannot allocate memory/,
    'the host lacks memory for the guest: lower memoryMiB',
  ],
  [/Could not access KVM kernel module: Permission denied/, "join the group kvm, or use accelerator: 'tcg'"],
  [/KVM kernel module|failed to initialize kvm/i, "KVM does not work here: use accelerator: 'tcg'"],
  [/Too many open files/, 'raise the limit of open files (ulimit -n)'],
  [
    /could not open kernel file|linux kernel too old|Error loading uncompressed kernel|could not load kernel/,
    'give a kernel for this machine: a bzImage, for aarch64 an Image',
  ],
  [
    /initrd is too large|could not load initrd|not enough memory/i,
    'the initramfs does not fit: raise memoryMiB',
  ],
]

/** What a QEMU says that was built without virtio-9p. */
const WITHOUT_SHARES =
  /'virtio-9p-\w+' is not a valid device|There is no option group 'fsdev'|fsdev support is disabled/

/** The error for a QEMU that ended, with `code` or by `signal`, before its guest ran. */
export function startError(stderr: string, code: number | null, signal: string | null): Error {
  const port = /Could not set up host forwarding rule '(?:tcp|udp):[^:]*:(\d+)-/.exec(stderr)
  if (port) return new PortInUseError(Number(port[1]))
  if (WITHOUT_SHARES.test(stderr)) {
    const reason = 'this QEMU is built without virtio-9p: install another, or copy the folder into the guest'
    return new UnsupportedError([{ backend: 'qemu', feature: 'shares', reason }])
  }
  const end = signal === null ? `exit status ${code}` : signal
  const advice = ADVICE.find(([pattern]) => pattern.test(stderr))
  return new QemuStartError(`QEMU did not start (${end})${advice ? `: ${advice[1]}` : ''}`, stderr)
}
