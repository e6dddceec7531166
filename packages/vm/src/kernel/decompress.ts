// Modules are stored uncompressed in an image: the image is compressed as a whole, and the guest then needs
// no decompressor (the kernel's own is not configured everywhere).
import { readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import zlib from 'node:zlib'
import { ProvisionError } from '../host/error.ts'
import { runProgram } from '../host/program.ts'

/** Files per call of a program: far below the limit of 2 MiB for arguments and environment, execve(2). */
const batchCount = 500

/** Replaces every `.ko.xz`, `.ko.zst` and `.ko.gz` below a folder by its `.ko`. */
export async function decompressModules(folder: string): Promise<void> {
  const files = (await readdir(folder, { recursive: true })).map((path) => join(folder, path))
  const ending = (suffix: string): string[] => files.filter((path) => path.endsWith(suffix))
  await byProgram('xz', ['--decompress', '--quiet'], ending('.ko.xz'))
  for (const path of ending('.ko.gz')) await replace(path, promisify(zlib.gunzip))
  // Node has it since 22.15; taken by name, older ones would not even load this file.
  const { zstdDecompress } = zlib as Partial<typeof zlib>
  if (zstdDecompress === undefined) {
    await byProgram('zstd', ['--decompress', '--quiet', '--rm'], ending('.ko.zst'))
  } else {
    for (const path of ending('.ko.zst')) await replace(path, promisify(zstdDecompress))
  }
}

async function byProgram(program: string, args: readonly string[], files: readonly string[]): Promise<void> {
  for (let start = 0; start < files.length; start += batchCount) {
    const batch = files.slice(start, start + batchCount)
    const result = await runProgram(program, [...args, '--', ...batch])
    if (result.status !== 0) {
      throw new ProvisionError(`cannot decompress kernel modules: ${result.stderr.trim()}`)
    }
  }
}

async function replace(path: string, decompress: (bytes: Uint8Array) => Promise<Uint8Array>): Promise<void> {
  await writeFile(path.replace(/\.(zst|gz)$/, ''), await decompress(await readFile(path)))
  await rm(path)
}
