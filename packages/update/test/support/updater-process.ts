// The updater as the program that it is, over files in a folder that stand for a machine's partitions.
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, mkdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { ReleaseDocuments } from '../../src/release.ts'
import { writeTrustDocument } from '../../src/trust.ts'
import type { SampleRelease } from './sample-release.ts'
import { Signer } from './signer.ts'

const program = fileURLToPath(new URL('../../src/updater.ts', import.meta.url))

/** What of PID 1's word on the boot is otherwise than on a machine where all is well. */
export type BootChanges = Readonly<Record<string, unknown>>

/** A machine that runs a release in slot `solo-a`, and an updater on it. */
export class UpdaterMachine implements AsyncDisposable {
  readonly folder: string = mkdtempSync(join(tmpdir(), 'solo-updater-'))
  readonly signer: Signer = new Signer()
  readonly socket: string = join(this.folder, 'updater.sock')
  readonly bootFolder: string = join(this.folder, 'entries')
  readonly rootB: string = join(this.folder, 'root-b')
  readonly #running: SampleRelease
  #child: ChildProcess | undefined

  constructor(running: SampleRelease, partitionBytes: number) {
    this.#running = running
    mkdirSync(this.bootFolder)
    writeFileSync(join(this.bootFolder, 'soloa+3-0.efi'), running.uki)
    const rootA = join(this.folder, 'root-a')
    writeFileSync(rootA, running.root)
    writeFileSync(this.rootB, '')
    for (const path of [rootA, this.rootB]) truncateSync(path, partitionBytes)
    const { appliance, version, counter, board, architecture } = running.release
    const identity = { appliance, version, counter, board, architecture, created: '2026-11-30T12:00:00Z' }
    writeFileSync(this.path('release.json'), JSON.stringify(identity))
    const roles = { release: { threshold: 1, keys: [this.signer.line] } }
    writeFileSync(this.path('trust.json'), writeTrustDocument({ version: 1, appliance, roles }))
    this.boot()
  }

  /** A file of the machine. */
  path(name: string): string {
    return join(this.folder, name)
  }

  /** Has PID 1 say something. */
  boot(changes: BootChanges = {}): void {
    const { counter } = this.#running.release
    const state = {
      slot: 'solo-a',
      entry: 'soloa+3-0.efi',
      disk: null,
      trial: false,
      blessed: true,
      partitions: { esp: '/dev/none', 'root-a': this.path('root-a'), 'root-b': this.rootB, data: null },
      counterFloor: counter,
      ...changes,
    }
    writeFileSync(this.path('boot.json'), JSON.stringify(state))
  }

  /** The documents of a release, signed by the key that the machine trusts, or another. */
  documents({ manifest }: SampleRelease, signer: Signer = this.signer): ReleaseDocuments {
    return { manifest, signatures: [signer.sign('solo-release', manifest)], trust: [] }
  }

  /** Starts the updater, and waits until it listens. */
  async start(): Promise<void> {
    const options = {
      socket: this.socket,
      'boot-folder': this.bootFolder,
      'boot-state': this.path('boot.json'),
      release: this.path('release.json'),
      trust: this.path('trust.json'),
      'kept-trust': this.path('kept-trust.json'),
      gid: String(process.getgid?.() ?? 0),
    }
    const args = Object.entries(options).flatMap(([key, value]) => [`--${key}`, value])
    const child = spawn(process.execPath, [program, ...args], {
      stdio: ['ignore', 'pipe', 'inherit'],
      // As on a device: packages/distro/src/build/own-services.ts.
      env: { ...process.env, BUN_JSC_useDFGJIT: '0' },
    })
    this.#child = child
    await once(child.stdout, 'data')
  }

  /** Ends it as a power cut does to a program. */
  async kill(): Promise<void> {
    const child = this.#child
    if (child === undefined || child.exitCode !== null) return
    child.kill('SIGKILL')
    await once(child, 'exit')
  }

  /** Asks it to end. */
  async stop(): Promise<number | null> {
    const child = this.#child
    if (child === undefined) return null
    child.kill('SIGTERM')
    const [code] = (await once(child, 'exit')) as [number | null]
    return code
  }

  /** A field of its /proc/PID/status that is in kB, in bytes. */
  memory(field: 'VmRSS' | 'VmHWM'): number {
    const status = readFileSync(`/proc/${this.#child?.pid}/status`, 'utf8')
    return 1024 * Number(new RegExp(`^${field}:\\s+(\\d+) kB$`, 'm').exec(status)?.[1])
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill()
    rmSync(this.folder, { recursive: true, force: true })
  }
}
