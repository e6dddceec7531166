// Modules are stored uncompressed in an image: the image is compressed as a whole, and the guest then needs
// no decompressor (the kernel's own is not configured everywhere).
import { readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { gunzip, zstdDecompress } from 'node:zlib'
import { SoloError } from '../error.ts'
import { runProgram } from '../host/program.ts'

/** Files per call of xz: far below the limit of 2 MiB for arguments and environment, execve(2). */
const batchCount = 500

/** Replaces every `.ko.xz`, `.ko.zst` and `.ko.gz` below a folder by its `.ko`. */
export async function decompressModules(folder: string): Promise<void> {
  const files = (await readdir(folder, { recursive: true })).map((path) => join(folder, path))
  const xz = files.filter((path) => path.endsWith('.ko.xz'))
  for (let start = 0; start < xz.length; start += batchCount) {
    const result = await runProgram('xz', [
      '--decompress',
      '--quiet',
      '--',
      ...xz.slice(start, start + batchCount),
    ])
    if (result.status !== 0) throw new SoloError(`cannot decompress kernel modules: ${result.stderr.trim()}`)
  }
  for (const path of files.filter((each) => each.endsWith('.ko.zst')))
    await replace(path, promisify(zstdDecompress))
  for (const path of files.filter((each) => each.endsWith('.ko.gz'))) await replace(path, promisify(gunzip))
}

async function replace(path: string, decompress: (bytes: Uint8Array) => Promise<Uint8Array>): Promise<void> {
  await writeFile(path.replace(/\.(zst|gz)$/, ''), await decompress(await readFile(path)))
  await rm(path)
}
