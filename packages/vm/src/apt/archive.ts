// The archive as the build sees it: roles resolved to pins, pins turned into files in the cache. Without a
// pin the archive decides; with one only these bytes will do, from the cache first, so that no network is needed.
import { mkdir, rename } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { ProvisionError } from '../host/error.ts'
import { explainWriteError, kindOf } from '../host/files.ts'
import { scratchBeside } from '../host/scratch.ts'
import type { LockEntry, LockFile, Pin } from './lock-file.ts'
import { type AptOptions, openApt, type PrivateApt } from './private-apt.ts'
import type { PackageRecord } from './stanza.ts'

/** Ends of messages: the ways out that depend on who uses the archive. */
export interface ArchiveAdvice {
  /** When there is no such package. */
  readonly noPackage: string
  /** When what is pinned cannot be had any more. */
  readonly gone: string
}

/** What an archive works with. */
export interface ArchiveOptions extends AptOptions {
  readonly lock: LockFile
  /** Take the newest packages, whatever is pinned. */
  readonly updateLock: boolean
  /** What the user can do, for messages. Default: what helps when there is no command to name. */
  readonly advice?: Partial<ArchiveAdvice>
  /** Called while a package is downloaded. */
  readonly onPercent?: (name: string, percent: number) => void
}

/** Finds the packages that a request stands for; an empty list says that there are none. */
export type Resolve = (apt: PrivateApt, request: string) => Promise<readonly PackageRecord[]>

/** The packages of one suite and architecture, pinned and cached. */
export class Archive {
  readonly #options: ArchiveOptions
  #apt: PrivateApt | undefined
  readonly #taken = new Map<string, readonly Pin[]>()
  /** The lists were fetched by this very run, so fetching them again would tell nothing new. */
  #refreshed = false

  constructor(options: ArchiveOptions) {
    this.#options = options
  }

  /** `suite/architecture`, the key of the pins. */
  get suite(): string {
    return `${this.#options.suite}/${this.#options.architecture}`
  }

  /** What has been asked for so far, by role: the packages that something was made of. */
  get taken(): ReadonlyMap<string, readonly Pin[]> {
    return this.#taken
  }

  /**
   * What a role is pinned to; resolves and pins it first when there is no pin.
   *
   * @throws ProvisionError when the archive has no such package
   */
  async pins(role: string, request: string, resolve: Resolve): Promise<readonly Pin[]> {
    const { lock, updateLock } = this.#options
    const entry = updateLock ? undefined : lock.get(this.suite, role, request)
    const { packages } = entry ?? (await this.#pin(role, request, resolve))
    this.#taken.set(role, packages)
    return packages
  }

  /**
   * The .deb file of a pin, from the cache, else from the mirror.
   *
   * @throws ProvisionError when the mirror cannot be reached, or no longer has it
   */
  async file(role: string, pin: Pin): Promise<string> {
    const target = join(this.#options.cache, 'packages', `${pin.sha256}.deb`)
    if ((await kindOf(target)) === 'file') return target
    const apt = await this.#open()
    const percent = (value: number): void => this.#options.onPercent?.(pin.name, value)
    await mkdir(join(this.#options.cache, 'packages'), { recursive: true })
    using scratch = scratchBeside(target)
    try {
      await rename(await this.#download(apt, role, pin, scratch.folder, percent), target)
    } catch (error) {
      throw explainWriteError(error, target)
    }
    return target
  }

  async #pin(role: string, request: string, resolve: Resolve): Promise<LockEntry> {
    const apt = await this.#open()
    await this.#refresh(apt, this.#options.updateLock)
    let records = await resolve(apt, request)
    if (records.length === 0 && !this.#refreshed) {
      await this.#refresh(apt, true)
      records = await resolve(apt, request)
    }
    if (records.length === 0) {
      const { advice } = this.#options
      const what = `${role}: the package sources of ${this.suite}`
      throw new ProvisionError(
        apt.trouble === ''
          ? `${what} have no package ${request}: ${advice?.noPackage ?? 'check the sources of apt'}`
          : `${what} cannot be asked for ${request}: ${apt.trouble}`,
      )
    }
    if (apt.trouble !== '') this.#options.onNote?.(`warning: package lists may be old: ${apt.trouble}`)
    const entry = this.#options.lock.set(this.suite, role, request, records)
    await this.#options.lock.save()
    return entry
  }

  async #download(
    apt: PrivateApt,
    role: string,
    pin: Pin,
    folder: string,
    onPercent: (percent: number) => void,
  ): Promise<string> {
    await this.#refresh(apt, false)
    for (;;) {
      const records = await apt.show(pin.name, pin.version)
      const record = records.find(({ sha256 }) => sha256 === pin.sha256)
      try {
        if (record !== undefined) return await apt.download(record, folder, onPercent)
      } catch (error) {
        // The lists may be older than the mirror: what they name may be gone.
        if (this.#refreshed) throw error
      }
      if (this.#refreshed) throw this.#gone(apt, role, pin, records)
      await this.#refresh(apt, true)
    }
  }

  #gone(apt: PrivateApt, role: string, pin: Pin, records: readonly PackageRecord[]): ProvisionError {
    const lock = basename(this.#options.lock.path)
    const what = `${lock}: ${role} of ${this.suite} is pinned to ${pin.name} ${pin.version} (sha256 ${pin.sha256})`
    if (apt.trouble !== '') {
      return new ProvisionError(
        `${what}, which is not in the cache, and the mirror cannot be asked: ${apt.trouble}`,
      )
    }
    const why =
      records.length > 0
        ? 'but the package sources have other bytes under that version'
        : 'which the package sources no longer have, and the cache neither'
    const wayOut = this.#options.advice?.gone ?? `take what is there now: remove ${this.#options.lock.path}`
    return new ProvisionError(`${what}, ${why}: ${wayOut}`)
  }

  async #open(): Promise<PrivateApt> {
    this.#apt ??= await openApt(this.#options)
    return this.#apt
  }

  async #refresh(apt: PrivateApt, force: boolean): Promise<void> {
    if (!this.#refreshed) this.#refreshed = await apt.refresh(force)
  }
}
