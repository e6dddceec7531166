/**
 * Renaming a file of a FAT file system by one write of one sector.
 *
 * Drivers rename by writing a new entry and then removing the old one, in several writes, between which the power can
 * go: then there are two names for one file, or none. Where only letters of the long name change, and its length stays,
 * they can be changed where they lie: the short name, whose checksum ties the two together, stays as it is. Disks write
 * a sector whole or not at all.
 */
import { Chains } from './fat/chain.ts'
import { lastPiece, unitOffsets } from './fat/directory-entry.ts'
import { FatError } from './fat/error.ts'
import { comparable } from './fat/fold.ts'
import { attribute, entryBytes, firstCluster, viewOf } from './fat/format.ts'
import { unitsPerEntry } from './fat/names.ts'
import { openVolume } from './fat/volume.ts'
import { parseBootSector } from './fat/volume-geometry.ts'
import type { RandomAccess } from './random-access.ts'

/** What has to be written to rename a file. */
export interface FatRename {
  /** Where, in bytes from the beginning of the file system; a multiple of 512. */
  readonly offset: number
  /** The sector of 512 bytes with the new name. */
  readonly sector: Uint8Array
  /** The first byte of the sector that changes. */
  readonly begin: number
  /** The byte behind the last one: whoever writes no more than these undoes nothing that was changed beside them. */
  readonly end: number
}

/** Disks write at least this much whole. */
const sectorBytes = 512

/**
 * Plans a renaming. The file system must not be mounted while it is carried out.
 *
 * @param path - of the file, absolute
 * @param name - its new name, of the same length
 * @throws {@link FatError} there is no such file, or the new name is taken; the letters that change do not lie in one
 *   sector; the file has no long name; the directory is damaged
 * @throws TypeError the names are not of one length
 *
 * @example
 * ```ts
 * import { readFat, writeFat } from '@pkg/image/fat'
 * import { planFatRename } from '@pkg/image/fat-rename'
 * import { bytesAccess } from '@pkg/image/random-access'
 * import { FileTree } from '@pkg/image/tree'
 *
 * const tree = new FileTree().add({ path: '/EFI/Linux/a+2-1.efi', type: 'file', content: new Uint8Array(9) })
 * const chunks = await Array.fromAsync(writeFat(tree, { sizeBytes: 4 * 1024 ** 2 }))
 * const image = new Uint8Array(Buffer.concat(chunks))
 * const { offset, sector } = await planFatRename(bytesAccess(image), '/EFI/Linux/a+2-1.efi', 'a+3-0.efi')
 * image.set(sector, offset)
 * console.log((await (await readFat(image)).list('/EFI/Linux')).map((entry) => entry.name)) // [ 'a+3-0.efi' ]
 * ```
 */
export async function planFatRename(access: RandomAccess, path: string, name: string): Promise<FatRename> {
  const slash = path.lastIndexOf('/')
  const [folder, old] = [path.slice(0, slash), path.slice(slash + 1)]
  if (old.length !== name.length) throw new TypeError(`${path}: ${name} is not of the same length`)
  const volume = await openVolume(access)
  const directory = await volume.find(`${folder}/`)
  if (directory?.type !== 'directory') throw new FatError(`${folder}: there is no such directory`)
  for (const { name: other, shortName } of await volume.list(folder)) {
    if (other === old) continue
    if (comparable(other) === comparable(name) || comparable(shortName) === comparable(name))
      throw new FatError(`${folder}/${name}: there is one already`)
  }
  const found = await findUnits(access, { folder, cluster: directory.cluster, name: old })
  if (found === undefined) throw new FatError(`${path}: there is no file with this long name`)
  return await change(access, path, found, name)
}

interface Searched {
  readonly folder: string
  readonly cluster: number
  readonly name: string
}

/** Where each unit of a long name lies; undefined when the directory has no such name. */
async function findUnits(
  access: RandomAccess,
  { folder, cluster, name }: Searched,
): Promise<number[] | undefined> {
  const geometry = parseBootSector(await access.read(0, sectorBytes), access.sizeBytes)
  const { dataOffset, clusterBytes } = geometry
  let pieces: number[] = []
  for await (const run of new Chains(access, geometry).runs(folder, cluster)) {
    const start = dataOffset + (run.cluster - firstCluster) * clusterBytes
    const bytes = await access.read(start, run.clusters * clusterBytes)
    for (let at = 0; at + entryBytes <= bytes.byteLength; at += entryBytes) {
      const entry = bytes.subarray(at, at + entryBytes)
      if (entry[0] === 0) return undefined
      if (((entry[11] ?? 0) & attribute.longNameMask) === attribute.longName && entry[0] !== 0xe5) {
        if (((entry[0] ?? 0) & lastPiece) !== 0) pieces = []
        pieces.push(start + at)
        continue
      }
      // The pieces of the name that this entry ends, the last one first.
      const units = pieces.toReversed().flatMap((piece) => unitOffsets.map((offset) => piece + offset))
      pieces = []
      if (entry[0] !== 0xe5 && (await textAt(access, units)) === name) return units.slice(0, name.length)
    }
  }
  return undefined
}

async function textAt(access: RandomAccess, units: readonly number[]): Promise<string> {
  let text = ''
  for (const offset of units.slice(0, unitsPerEntry * 20)) {
    const unit = viewOf(await access.read(offset, 2)).getUint16(0, true)
    if (unit === 0) break
    text += String.fromCharCode(unit)
  }
  return text
}

async function change(
  access: RandomAccess,
  path: string,
  units: readonly number[],
  name: string,
): Promise<FatRename> {
  const old = await textAt(access, units)
  const changed = units.filter((_, index) => old[index] !== name[index])
  const sectors = new Set(changed.map((offset) => Math.floor(offset / sectorBytes)))
  const [number = Math.floor((units[0] ?? 0) / sectorBytes)] = sectors
  if (sectors.size > 1) throw new FatError(`${path}: what changes lies in ${sectors.size} sectors`)
  const offset = number * sectorBytes
  const sector = new Uint8Array(await access.read(offset, sectorBytes))
  for (const [index, unit] of units.entries()) {
    if (old[index] !== name[index]) viewOf(sector).setUint16(unit - offset, name.charCodeAt(index), true)
  }
  const places = changed.map((unit) => unit - offset)
  const begin = places.length === 0 ? 0 : Math.min(...places)
  return { offset, sector, begin, end: places.length === 0 ? 0 : Math.max(...places) + 2 }
}
