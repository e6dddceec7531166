// The hash tree over a kernel image: dm-verity's, without a superblock, as nothing but the updater reads it.
import { VerityHasher } from '@pkg/image/verity'

const blockBytes = 4096

/** In the superblock alone, which is left out. */
const noUuid = '00000000-0000-0000-0000-000000000000'

/** Makes the tree while the image passes by. */
export class UkiHasher {
  readonly #hasher: VerityHasher
  #sizeBytes = 0

  constructor(salt: Uint8Array) {
    this.#hasher = new VerityHasher({ salt, uuid: noUuid })
  }

  /** Hashes the next bytes. */
  update(chunk: Uint8Array): void {
    this.#sizeBytes += chunk.byteLength
    this.#hasher.update(chunk)
  }

  /** The root hash, and the tree with its top first. */
  finish(): { readonly hash: string; readonly bytes: Uint8Array } {
    this.#hasher.update(new Uint8Array((blockBytes - (this.#sizeBytes % blockBytes)) % blockBytes))
    const tree = this.#hasher.finish()
    const [, ...blocks] = tree.bytes()
    return { hash: tree.rootHash, bytes: Buffer.concat(blocks) }
  }
}
