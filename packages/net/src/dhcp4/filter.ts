// The classic BPF program that lets only DHCP answers wake the client: on a busy network a packet socket without it
// would copy every packet to user space.

/** One instruction, `struct sock_filter`. @see include/uapi/linux/filter.h */
export interface BpfInstruction {
  code: number
  jumpTrue: number
  jumpFalse: number
  k: number
}

// include/uapi/linux/bpf_common.h: class, size and mode.
const LDB_ABS = 0x30
const LDH_ABS = 0x28
const LDH_IND = 0x48
const LDXB_MSH = 0xb1
const JEQ = 0x15
const JSET = 0x45
const RET = 0x06

/**
 * The filter for UDP to `port` in IPv4, not fragmented, on a `SOCK_DGRAM` packet socket (offset 0 is the IP header).
 * What `tcpdump -d 'udp dst port 68'` compiles to, without the Ethernet header.
 */
export function udpPortFilter(port: number): BpfInstruction[] {
  return [
    { code: LDB_ABS, jumpTrue: 0, jumpFalse: 0, k: 9 }, // protocol
    { code: JEQ, jumpTrue: 0, jumpFalse: 6, k: 17 }, // UDP, else drop
    { code: LDH_ABS, jumpTrue: 0, jumpFalse: 0, k: 6 }, // flags and fragment offset
    { code: JSET, jumpTrue: 4, jumpFalse: 0, k: 0x1fff }, // a later fragment has no UDP header: drop
    { code: LDXB_MSH, jumpTrue: 0, jumpFalse: 0, k: 0 }, // X = size of the IP header
    { code: LDH_IND, jumpTrue: 0, jumpFalse: 0, k: 2 }, // destination port
    { code: JEQ, jumpTrue: 0, jumpFalse: 1, k: port },
    { code: RET, jumpTrue: 0, jumpFalse: 0, k: 0x40000 }, // keep all of it
    { code: RET, jumpTrue: 0, jumpFalse: 0, k: 0 },
  ]
}

/**
 * Writes instructions as an array of `struct sock_filter { __u16 code; __u8 jt; __u8 jf; __u32 k; }`, host-endian.
 */
export function encodeFilter(program: readonly BpfInstruction[]): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(program.length * 8)
  const view = new DataView(bytes.buffer)
  for (const [index, instruction] of program.entries()) {
    view.setUint16(index * 8, instruction.code, true)
    view.setUint8(index * 8 + 2, instruction.jumpTrue)
    view.setUint8(index * 8 + 3, instruction.jumpFalse)
    view.setUint32(index * 8 + 4, instruction.k, true)
  }
  return bytes
}
