/**
 * Whether the blobs of a release are what its manifest says, and mean what they must: every digest and size, the hash
 * trees, what the compressed forms hold, that the kernel image boots this root and no other, and that both are for this
 * release. For those who make, keep or fetch releases; a device checks block by block what it writes.
 */
import { createHash, type Hash } from 'node:crypto'
import type { RandomAccess } from '@pkg/image/random-access'
import { readUki, readUkiText, UkiError } from '@pkg/image/uki'
import { VerityHasher } from '@pkg/image/verity'
import { UpdateRefused } from './refused.ts'
import { type BlobReference, type CompressedBlob, frameBytes, type Release } from './release.ts'
import { unpackFrame } from './release/frame.ts'
import { UkiHasher } from './release/uki-tree.ts'
import { type BlobSource, SourceError } from './source.ts'
import type { Finding } from './verify.ts'

/** Bytes of a block of dm-verity. */
const blockBytes = 4096

/** Where an EROFS superblock lies, its magic number, and where in it its uuid is (fs/erofs/erofs_fs.h). */
const erofs = { offset: 1024, magic: 0xe0f5_e1e2, uuidOffset: 48, bytes: 128 }

/** How an architecture is called in the headers of a PE file. */
const machines = { x86_64: 'x86-64', aarch64: 'aarch64' } as const

type Check = readonly [title: string, run: (release: Release, source: BlobSource) => Promise<string>]

const checks: readonly Check[] = [
  ['root', checkRoot],
  ['root, compressed', ({ root }, source) => checkCompressed(root.compressed, root, source)],
  ['kernel image', checkUkiBlob],
  ['kernel image, compressed', ({ uki }, source) => checkCompressed(uki.compressed, uki, source)],
  ['kernel image, content', checkUkiContent],
  ['bill of materials', checkSbom],
]

/**
 * Reads all blobs of a release and says what it found, check by check; goes on after a failure.
 *
 * @param source - where the blobs are; nothing of it is trusted
 * @throws what the source throws, other than SourceError
 */
export async function* examineContents(
  release: Release,
  source: BlobSource,
): AsyncGenerator<Finding, void, undefined> {
  for (const [title, run] of checks) {
    try {
      yield { title, ok: true, detail: await run(release, source) }
    } catch (error) {
      if (!(error instanceof UpdateRefused || error instanceof SourceError || error instanceof UkiError))
        throw error
      yield { title, ok: false, detail: error.message }
    }
  }
}

/**
 * The same for who needs a yes or no.
 *
 * @throws UpdateRefused `digest`, `size` or `format`, with the first that is wrong
 */
export async function verifyContents(release: Release, source: BlobSource): Promise<void> {
  for (const [, run] of checks) {
    try {
      await run(release, source)
    } catch (error) {
      if (!(error instanceof UkiError)) throw error
      throw new UpdateRefused('format', `the kernel image: ${error.message}`, { cause: error })
    }
  }
}

/** Reads a whole blob: it ends where it must, and has the bytes that it must. */
async function* whole(
  what: string,
  { digest, sizeBytes }: BlobReference,
  source: BlobSource,
): AsyncGenerator<Uint8Array, void, undefined> {
  const hash = createHash('sha256')
  let restBytes = sizeBytes
  for await (const chunk of source.open(digest, 0, sizeBytes)) {
    restBytes -= chunk.byteLength
    // Before the chunk is looked at: a source may never end.
    if (restBytes < 0) throw new UpdateRefused('size', `${what} has more than ${sizeBytes} bytes`)
    hash.update(chunk)
    yield chunk
  }
  if (restBytes > 0) {
    throw new UpdateRefused('size', `${what} has ${sizeBytes - restBytes} bytes, expected ${sizeBytes}`)
  }
  checkDigest(what, hash, digest)
}

function checkDigest(what: string, hash: Hash, expected: string): void {
  const found = `sha256:${hash.digest('hex')}`
  if (found !== expected)
    throw new UpdateRefused('digest', `${what} has digest ${found}, expected ${expected}`)
}

async function checkRoot({ root }: Release, source: BlobSource): Promise<string> {
  const hasher = new VerityHasher({ salt: Buffer.from(root.salt, 'hex'), uuid: root.imageId })
  const head = new Uint8Array(erofs.offset + erofs.bytes)
  let [headBytes, restBytes] = [0, root.dataBlocks * blockBytes]
  const tail: Uint8Array[] = []
  for await (const chunk of whole('the root', root, source)) {
    const headPart = chunk.subarray(0, head.byteLength - headBytes)
    head.set(headPart, headBytes)
    headBytes += headPart.byteLength
    const data = chunk.subarray(0, restBytes)
    restBytes -= data.byteLength
    hasher.update(data)
    if (data.byteLength < chunk.byteLength) tail.push(chunk.slice(data.byteLength))
  }
  const tree = hasher.finish()
  checkTree(
    'the root',
    { found: tree.rootHash, expected: root.hash },
    { found: Buffer.concat(tail), expected: Buffer.concat([...tree.bytes()]) },
  )
  checkImageId(head, root.imageId)
  return `${root.sizeBytes} bytes, root hash ${root.hash}`
}

interface Compared<T> {
  readonly found: T
  readonly expected: T
}

function checkTree(what: string, hash: Compared<string>, tree: Compared<Uint8Array>): void {
  if (hash.found !== hash.expected) {
    throw new UpdateRefused('digest', `${what} has the root hash ${hash.found}, expected ${hash.expected}`)
  }
  if (Buffer.compare(tree.found, tree.expected) === 0) return
  throw new UpdateRefused('digest', `the hash tree of ${what} is not that of its blocks`)
}

function checkImageId(head: Uint8Array, imageId: string): void {
  const view = new DataView(head.buffer, erofs.offset)
  if (view.getUint32(0, true) !== erofs.magic) throw new UpdateRefused('format', 'the root is no EROFS image')
  const start = erofs.offset + erofs.uuidOffset
  const found = Buffer.from(head.subarray(start, start + 16)).toString('hex')
  if (found === imageId.replaceAll('-', '')) return
  throw new UpdateRefused('format', `the root has the id ${found}, expected ${imageId}`)
}

async function checkCompressed(
  compressed: CompressedBlob,
  raw: BlobReference,
  source: BlobSource,
): Promise<string> {
  const what = `the compressed blob ${compressed.digest}`
  const hash = createHash('sha256')
  let restBytes = raw.sizeBytes
  for await (const frame of framesOf(whole(what, compressed, source), compressed.frames)) {
    const expectedBytes = Math.min(frameBytes, restBytes)
    const unpacked = unpack(what, frame, expectedBytes)
    hash.update(unpacked)
    restBytes -= unpacked.byteLength
  }
  checkDigest(`what ${what} holds`, hash, raw.digest)
  return `${compressed.sizeBytes} bytes, ${Math.round((100 * compressed.sizeBytes) / raw.sizeBytes)} % of the raw one`
}

/** Cuts a stream at the ends of its frames. */
async function* framesOf(
  chunks: AsyncIterable<Uint8Array>,
  sizes: readonly number[],
): AsyncGenerator<Uint8Array, void, undefined> {
  let index = 0
  let frame = new Uint8Array(sizes[0] ?? 0)
  let filled = 0
  for await (const chunk of chunks) {
    for (let rest = chunk; rest.byteLength > 0;) {
      const part = rest.subarray(0, frame.byteLength - filled)
      frame.set(part, filled)
      filled += part.byteLength
      rest = rest.subarray(part.byteLength)
      if (filled < frame.byteLength) continue
      yield frame
      index += 1
      frame = new Uint8Array(sizes[index] ?? 0)
      filled = 0
    }
  }
}

function unpack(what: string, frame: Uint8Array, expectedBytes: number): Uint8Array {
  let unpacked: Uint8Array
  try {
    unpacked = unpackFrame(frame, frameBytes)
  } catch (cause) {
    throw new UpdateRefused('format', `${what} has a frame that is no Zstandard of ${expectedBytes} bytes`, {
      cause,
    })
  }
  if (unpacked.byteLength === expectedBytes) return unpacked
  throw new UpdateRefused(
    'size',
    `${what} has a frame of ${unpacked.byteLength} bytes, expected ${expectedBytes}`,
  )
}

async function checkUkiBlob({ uki, root }: Release, source: BlobSource): Promise<string> {
  const hasher = new UkiHasher(Buffer.from(root.salt, 'hex'))
  for await (const chunk of whole('the kernel image', uki, source)) hasher.update(chunk)
  const { hash, bytes } = hasher.finish()
  const found = Buffer.concat(await Array.fromAsync(whole("the kernel image's tree", uki.tree, source)))
  checkTree('the kernel image', { found: hash, expected: uki.hash }, { found, expected: bytes })
  return `${uki.sizeBytes} bytes, root hash ${uki.hash}`
}

async function checkUkiContent({ uki, root, ...release }: Release, source: BlobSource): Promise<string> {
  const access: RandomAccess = {
    sizeBytes: uki.sizeBytes,
    async read(offset, length) {
      const end = Math.min(offset + length, uki.sizeBytes)
      return Buffer.concat(await Array.fromAsync(source.open(uki.digest, offset, Math.max(0, end - offset))))
    },
  }
  const image = await readUki(access)
  equal('machine', image.machine, machines[release.architecture])
  const osRelease = (await readUkiText(access, image, '.osrel')) ?? ''
  equal('IMAGE_ID', lineOf(osRelease, 'IMAGE_ID'), release.appliance)
  equal('IMAGE_VERSION', lineOf(osRelease, 'IMAGE_VERSION'), String(release.counter))
  const initrd = image.sections.find(({ name }) => name === '.initrd')
  const bytes =
    initrd === undefined ? Buffer.alloc(0) : Buffer.from(await access.read(initrd.offset, initrd.sizeBytes))
  // Stage 1 opens the root that has this hash, which stands there as text.
  if (!bytes.includes(root.hash)) {
    throw new UpdateRefused(
      'format',
      `the kernel image does not boot this root: ${root.hash} is not in its initramfs`,
    )
  }
  return `boots the root, counter ${release.counter}`
}

function lineOf(text: string, key: string): string {
  return (
    text
      .split('\n')
      .find((line) => line.startsWith(`${key}=`))
      ?.slice(key.length + 1) ?? 'nothing'
  )
}

function equal(what: string, found: string, expected: string): void {
  if (found !== expected) {
    throw new UpdateRefused('format', `the kernel image has ${what} ${found}, expected ${expected}`)
  }
}

async function checkSbom({ sbom }: Release, source: BlobSource): Promise<string> {
  const text = Buffer.concat(await Array.fromAsync(whole('the bill of materials', sbom, source))).toString()
  let document: unknown
  try {
    document = JSON.parse(text)
  } catch (cause) {
    throw new UpdateRefused('format', 'the bill of materials is no JSON', { cause })
  }
  if (typeof document !== 'object' || document === null || !('spdxVersion' in document)) {
    throw new UpdateRefused('format', 'the bill of materials is no SPDX document')
  }
  return `${sbom.sizeBytes} bytes`
}
