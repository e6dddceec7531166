// Runs syscall programs as static executables: natively, or under an emulator for the other architecture.
import { type SpawnSyncReturns, spawnSync } from 'node:child_process'
import { chmodSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { staticElfAddresses, writeStaticElf } from '@pkg/image/elf'
import type { Program } from '../src/program.ts'
import type { Architecture } from '../src/raw.ts'

let count = 0

/** Writes `program` into `folder` as an executable and returns its path. */
export function writeExecutable(folder: string, program: Program, architecture: Architecture): string {
  const machine = architecture === 'x64' ? 'x86_64' : 'aarch64'
  const sizes = program.standalone({ architecture, address: 0 })
  const sizesBytes = [sizes.code.length, sizes.data.length]
  const [codeAddress = 0, dataAddress = 0] = staticElfAddresses({ machine, sizesBytes })
  const { code, data } = program.standalone({ architecture, address: dataAddress })
  if (code.length !== sizes.code.length || data.length !== sizes.data.length) {
    throw new Error('the sizes of a standalone program depend on its address')
  }
  const path = join(folder, `${++count}-${architecture}`)
  const segments = [
    { address: codeAddress, bytes: code, flags: 'rx' as const },
    { address: dataAddress, bytes: data, flags: 'rw' as const },
  ]
  writeFileSync(path, writeStaticElf({ machine, entryAddress: codeAddress, segments }))
  chmodSync(path, 0o755)
  return path
}

/** Runs it to its end. */
export function runProgram(
  folder: string,
  program: Program,
  architecture: Architecture,
  encoding: BufferEncoding = 'utf8',
): SpawnSyncReturns<string> {
  const path = writeExecutable(folder, program, architecture)
  const emulator = architecture === 'arm64' ? 'qemu-aarch64-static' : 'qemu-x86_64-static'
  const [command, ...parameters] = architecture === process.arch ? [path] : [emulator, path]
  return spawnSync(command, parameters, { encoding, timeout: 120_000, env: {} })
}
