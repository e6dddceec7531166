/**
 * What host and agent say to each other. The bytes are in frames.ts, calls and streams in connection.ts, values in
 * values.ts; here is what the calls are.
 *
 * The host sends `attach` with a nonce, again and again until `hello` comes back with the same one: bytes of before
 * (of a line's noise, of a host that went away, of a machine that was saved) belong to nobody. At `attach` the agent
 * forgets every call and stream; programs it has started run on, and what they print is dropped. An agent that starts
 * says `hello` without a nonce: so a host learns of a reboot.
 */

/** Where programs are started, and as whom. */
export interface ProgramPlace {
  /** The whole environment; default: PATH, HOME and TERM. */
  readonly env?: Readonly<Record<string, string>>
  /** Working directory, below `root` if that is given. Default `/`. */
  readonly cwd?: string
  /** User id. Default: root. */
  readonly uid?: number
  /** Group id. Default: root's. */
  readonly gid?: number
  /** Folder that is the program's root (chroot). */
  readonly root?: string
}

/** Size of a terminal, in characters. */
export interface TerminalSize {
  /** Characters in a line. */
  readonly columns: number
  /** Lines. */
  readonly rows: number
}

/** Parameters of `spawn`. Numbers of streams that are not wanted are absent. */
export interface SpawnRequest extends ProgramPlace {
  readonly file: string
  readonly args: readonly string[]
  readonly tty?: TerminalSize
  readonly stdin?: number
  readonly stdout: number
  readonly stderr?: number
  /** Descriptor 3: what the guest writes, what the host writes. */
  readonly ipc?: { readonly fromGuest: number; readonly toGuest: number }
}

/** Where somebody listens in the guest: the path of a Unix socket, or a TCP port of its loopback. */
export type GuestAddress =
  | string
  /** `host` is an IPv4 address of the guest's own; default 127.0.0.1. */
  | { readonly port: number; readonly host?: string }

/** Parameters of `connect`: what the listener writes comes on one stream, what it reads goes on the other. */
export interface ConnectRequest {
  readonly address: GuestAddress
  readonly fromGuest: number
  readonly toGuest: number
}

/** How a program ended; one of the two is null. */
export interface ProgramEnd {
  /** Exit status. */
  readonly code: number | null
  /** Name of the signal that ended it, such as `SIGKILL`. */
  readonly signal: string | null
}

/** Parameters of `run`. */
export interface RunRequest {
  readonly source: string
  readonly args: readonly unknown[]
  readonly pid1: boolean
  /** Polls until the function gives something truthy, instead of calling it once. */
  readonly poll?: { readonly timeoutMs: number; readonly intervalMs: number }
}

/** What the agent says of itself and its machine. */
export interface GuestHello {
  /** The nonce of the `attach` that this answers; empty when the agent has just started. */
  readonly nonce: string
  /** New at each start of the agent. */
  readonly bootId: string
  /** The kernel's release. */
  readonly release: string
  /** As `uname -m` has it. */
  readonly architecture: string
  /** The agent's process id: 1 but in tests. */
  readonly pid: number
  /** The runtime's version. */
  readonly bunVersion: string
  /** What went wrong while the guest was brought up, none of which was fatal. */
  readonly bootProblems: readonly string[]
}

/** What {@link GuestInfo} says of a mount. */
export interface GuestMount {
  /** Where. */
  readonly target: string
  /** Device or word. */
  readonly source: string
  /** File system. */
  readonly type: string
  /** Options of the mount and of the file system, comma-separated. */
  readonly options: string
}

/** The state of a guest. */
export interface GuestInfo {
  /** Its clock, milliseconds since 1970. */
  readonly clockMs: number
  /** Since the kernel started, in milliseconds. */
  readonly uptimeMs: number
  /** Memory, in bytes. */
  readonly memory: { readonly totalBytes: number; readonly availableBytes: number }
  /** What is mounted, in order. */
  readonly mounts: readonly GuestMount[]
  /** The kernel's release. */
  readonly release: string
  /** The host name. */
  readonly hostname: string
}

/** How a share reaches the guest. */
export interface ShareMount {
  /** Kind: QEMU's 9p device by its tag, UML's hostfs by the host's path, or a bind of a path in the guest. */
  readonly type: '9p' | 'hostfs' | 'bind'
  /** Tag or path. */
  readonly source: string
  /** Absolute path in the guest; made when it is not there. */
  readonly target: string
  /** Default: read-only. */
  readonly writable?: boolean
}

/** The ends of a machine. */
export type ShutdownKind = 'poweroff' | 'reboot' | 'halt'
