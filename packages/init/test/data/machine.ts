/**
 * A machine whose service writes files in the format of its release, on a disk whose power may be cut at any step. It
 * throws when the service is started on what it cannot read, and when a file is nowhere any more.
 */
import { prepareData } from '../../src/data/prepare.ts'
import { validatePlan, type ServicePlan } from '@pkg/init/plan'
import { Disk, PowerCut } from './disk.ts'

const FOLDERS = ['/var/lib/web', '/var/lib/web-index']

export interface Release {
  readonly version: number
  readonly readableBy: number
  readonly hasHook: boolean
}

/** How a boot ended. */
export type BootEnd = 'started' | 'power-cut' | { readonly withheld: string }

export class Machine {
  readonly disk: Disk
  written: number
  /** The hook fails after so many steps. */
  hookFailsAfter: number | undefined

  constructor(disk: Disk = new Disk(), written = 0) {
    this.disk = disk
    this.written = written
    disk.onStep = (before) => {
      const now = new Set(idsOf(disk.nodes, () => true))
      const precious = idsOf(before, (path) => !path.includes('/set-aside-from-'))
      const lost = precious.filter((id) => !now.has(id))
      if (lost.length > 0) throw new Error(`files ${lost.join()} are nowhere any more: ${show(disk)}`)
    }
  }

  /** The same machine, to be treated differently. */
  fork(): Machine {
    return new Machine(new Disk(this.disk.nodes), this.written)
  }

  /** Boots this release, runs its service until it has written, and switches off. */
  async boot(release: Release, steps?: number): Promise<BootEnd> {
    const { disk } = this
    disk.stepsLeft = steps
    try {
      for (const folder of FOLDERS) disk.makeFolder(folder)
      const withheld = await prepareData({
        services: [serviceOf(release)],
        stateFolder: '/var/lib/solo',
        files: disk,
        breath: () => Promise.resolve(),
        runHook: (_service, _from, to) => {
          this.#migrate(to)
          return Promise.resolve()
        },
        onWork: () => {},
        log: () => {},
      })
      // A cut is told as a reason; the real one tells nobody.
      if (disk.stepsLeft === 0) return 'power-cut'
      const [first] = withheld
      if (first !== undefined) return { withheld: first.reason }
      this.#serve(release)
      return 'started'
    } catch (error) {
      if (error instanceof PowerCut) return 'power-cut'
      throw error
    } finally {
      disk.stepsLeft = undefined
    }
  }

  /** File by file, so that it can be interrupted: files of the old format beside those of the new. */
  #migrate(to: number): void {
    let left = this.hookFailsAfter
    for (const [path, text] of this.#data()) {
      if (left === 0) throw new Error('the hook has failed')
      if (left !== undefined) left -= 1
      this.disk.write(path, `${to}:${text.split(':')[1]}`)
    }
  }

  #serve(release: Release): void {
    const { version } = release
    if (this.disk.isFull) return
    for (const [path, text] of this.#data()) {
      const format = Number(text.split(':')[0])
      if (format !== version && !canRead(release, format))
        throw new Error(
          `code of version ${version} was given ${path} of format ${format}: ${show(this.disk)}`,
        )
    }
    for (const folder of FOLDERS) {
      this.written += 1
      this.disk.write(`${folder}/${this.written}`, `${version}:${this.written}`)
    }
  }

  #data(): [string, string][] {
    return FOLDERS.flatMap((folder) =>
      this.disk.namesIn(folder).map((name): [string, string] => {
        return [`${folder}/${name}`, this.disk.read(`${folder}/${name}`) ?? '']
      }),
    )
  }
}

/** Formats 2 and 3 can be read by code of 2; all others only by their own. */
export const releases: readonly [Release, Release, Release, Release] = [
  { version: 1, readableBy: 1, hasHook: true },
  { version: 2, readableBy: 2, hasHook: true },
  { version: 3, readableBy: 2, hasHook: true },
  { version: 4, readableBy: 4, hasHook: true },
]

function canRead(release: Release, format: number): boolean {
  // Code reads what is declared compatible, upwards, and what its own compatible format came from.
  const other = releases.find(({ version }) => version === format)
  if (other === undefined) return false
  return other.readableBy <= release.version && format >= release.readableBy
}

function serviceOf({ version, readableBy, hasHook }: Release): ServicePlan {
  const migrate = hasHook ? { command: ['/bin/migrate'] } : null
  const [service] = validatePlan({
    version: 1,
    services: [
      {
        ...{ name: 'web', command: ['/bin/web'], uid: 1, gid: 1 },
        data: { version, readableBy, folders: FOLDERS, migrate },
      },
    ],
  }).services
  if (service === undefined) throw new Error('no service')
  return service
}

/** The files of users, wherever they are. */
function idsOf(nodes: ReadonlyMap<string, string | null>, isMeant: (path: string) => boolean): string[] {
  return [...nodes]
    .filter(([path, text]) => text !== null && !path.endsWith('.json') && isMeant(path))
    .map(([, text]) => text?.split(':')[1] ?? '')
}

function show(disk: Disk): string {
  return JSON.stringify([...disk.nodes], null, 1)
}
