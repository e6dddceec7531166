/**
 * The devices of a guest as arguments of QEMU. What the guest can see of its hardware is kept apart from what stands
 * behind it on the host: a snapshot goes on only where the hardware is the same, and the rest may differ.
 */
import type { ResolvedCard, ResolvedOptions } from './options.ts'

/** Arguments for one device or for all. */
export interface DeviceArguments {
  /** What the guest sees, in an order that gives each device its slot. */
  hardware: string[]
  /** What stands behind it: files, sockets, ports. */
  behind: string[]
  /** What each inherited socket is for, from {@link FIRST_SOCKET_FD} on. */
  sockets: SocketUse[]
}

/** An inherited socket: the first serial port, the agent's port, or a card of a private network by its index. */
export type SocketUse = 'console' | 'control' | { card: number }

/** The first file descriptor after the standard ones. */
export const FIRST_SOCKET_FD = 3

/** The name by which the guest finds the agent's port. */
const CONTROL_PORT = 'solo.control'

/** One device. */
interface Part {
  hardware: string[]
  /** What stands behind it; `fd` is the descriptor of its socket, if it has one. */
  behind?: (fd: number) => string[]
  socket?: SocketUse
}

/** All devices of a machine. */
export function deviceArguments(options: ResolvedOptions): DeviceArguments {
  const { virtio, panicDevice } = options.model
  const device = (words: string): Part => ({ hardware: ['-device', words] })
  const parts: Part[] = [
    consolePart(),
    device(`virtio-rng-${virtio}`),
    ...(panicDevice === undefined || options.onPanic === 'ignore' ? [] : [device(panicDevice)]),
    ...(options.rootImage === undefined ? [] : [rootPart(options.rootImage, virtio)]),
    ...(options.onControl === undefined ? [] : [controlPart(virtio)]),
    ...(options.disks === undefined ? [] : [device(`virtio-scsi-${virtio},id=scsi`)]),
    ...options.shares.map((share, index) => sharePart(share, index, virtio)),
    ...options.cards.map((card, index) => cardPart(card, index, virtio)),
    ...(options.balloon ? [device(`virtio-balloon-${virtio},id=balloon`)] : []),
  ]
  const all: DeviceArguments = { hardware: [], behind: [], sockets: [] }
  for (const { hardware, behind, socket } of parts) {
    all.hardware.push(...hardware)
    all.behind.push(...(behind?.(FIRST_SOCKET_FD + all.sockets.length) ?? []))
    if (socket !== undefined) all.sockets.push(socket)
  }
  return all
}

function consolePart(): Part {
  const behind = (fd: number): string[] => ['-chardev', `socket,id=console,fd=${fd}`]
  return { hardware: ['-serial', 'chardev:console'], behind, socket: 'console' }
}

/** Two ports: number 0, which is kept for a console, and ours. Each more would cost the guest two queues. */
function controlPart(virtio: string): Part {
  const port = `virtserialport,bus=serial.0,nr=1,chardev=control,id=control,name=${CONTROL_PORT}`
  return {
    hardware: ['-device', `virtio-serial-${virtio},id=serial,max_ports=2`, '-device', port],
    behind: (fd) => ['-chardev', `socket,id=control,fd=${fd}`],
    socket: 'control',
  }
}

function rootPart(rootImage: string, virtio: string): Part {
  const file = { driver: 'file', filename: rootImage, 'read-only': true }
  const node = { driver: 'raw', 'node-name': 'root', 'read-only': true, file }
  return {
    hardware: ['-device', `virtio-blk-${virtio},drive=root,id=root`],
    behind: () => ['-blockdev', JSON.stringify(node)],
  }
}

/**
 * `security_model=none`: a file has the owner and mode on the host that the guest gave it, as far as QEMU may do
 * that; where it may not (chown without root) the guest is not told. `mapped` would keep them in extended
 * attributes, and what the guest wrote would be of no use to the host. `multidevs=remap`: the folder may hold
 * mounts, whose inode numbers would clash.
 */
function sharePart(share: ResolvedOptions['shares'][number], index: number, virtio: string): Part {
  const readOnly = share.writable === true ? '' : ',readonly=on'
  const rest = `security_model=none,multidevs=remap${readOnly}`
  return {
    hardware: ['-device', `virtio-9p-${virtio},fsdev=share${index},mount_tag=${share.tag}`],
    behind: () => ['-fsdev', `local,id=share${index},path=${escapeCommas(share.host)},${rest}`],
  }
}

function cardPart(card: ResolvedCard, index: number, virtio: string): Part {
  const mac = card.mac === undefined ? '' : `,mac=${card.mac}`
  // Without its option ROM the firmware does not offer to boot from the network.
  const rom = virtio === 'pci' ? ',romfile=' : ''
  const capture =
    card.capture === undefined
      ? []
      : ['-object', `filter-dump,id=capture${index},netdev=net${index},file=${escapeCommas(card.capture)}`]
  return {
    hardware: ['-device', `virtio-net-${virtio},netdev=net${index},id=card${index}${rom}${mac}`],
    behind: (fd) => ['-netdev', netdevOf(card, index, fd), ...capture],
    ...(card.kind === 'private' && { socket: { card: index } }),
  }
}

/** QEMU binds port 0 to a free port by itself: choosing one beforehand would be a race. */
function netdevOf({ kind, forwards }: ResolvedCard, index: number, fd: number): string {
  if (kind === 'private') return `socket,id=net${index},fd=${fd}`
  const rules = forwards.map(
    ({ hostPort, guestPort, protocol = 'tcp' }) => `,hostfwd=${protocol}:127.0.0.1:${hostPort}-:${guestPort}`,
  )
  return `user,id=net${index}${rules.join('')}`
}

/** In QEMU's comma-separated values a comma is written twice. */
export function escapeCommas(value: string): string {
  return value.replaceAll(',', ',,')
}
