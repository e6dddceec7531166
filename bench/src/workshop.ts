// What the contestants need: C programs built for this run, and a child that does nothing.
import { spawnSync } from 'node:child_process'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { staticElfAddresses, writeStaticElf } from '@pkg/image/elf'
import { Program } from '@pkg/sys/program'
import { currentArchitecture } from '@pkg/sys/raw'

/** Where built programs lie; not under version control. */
const workshopFolder = fileURLToPath(new URL('../../.cache/bench', import.meta.url))

/** The path of a contestant's source. */
export function contestantFile(name: string): string {
  return fileURLToPath(new URL(`contestants/${name}`, import.meta.url))
}

/**
 * Compiles `contestants/NAME.c`; returns the program's path.
 *
 * @throws Error with the compiler's words, or that there is none
 */
export function compileC(name: string): string {
  mkdirSync(workshopFolder, { recursive: true })
  const output = `${workshopFolder}/${name}`
  const result = spawnSync('gcc', ['-O2', '-o', output, contestantFile(`${name}.c`)], { encoding: 'utf8' })
  if (result.error) throw new Error('gcc is not installed')
  if (result.status !== 0) throw new Error(`gcc: ${result.stderr.trim()}`)
  return output
}

/** A static executable of some 400 bytes whose only system call is `exit_group(0)`; returns its path. */
export function tinyChild(): string {
  mkdirSync(workshopFolder, { recursive: true })
  const architecture = currentArchitecture()
  const machine = architecture === 'x64' ? 'x86_64' : 'aarch64'
  const program = new Program()
  const sizes = program.standalone({ architecture, address: 0 })
  const [codeAddress = 0, dataAddress = 0] = staticElfAddresses({
    machine,
    sizesBytes: [sizes.code.length, sizes.data.length],
  })
  const { code, data } = program.standalone({ architecture, address: dataAddress })
  const output = `${workshopFolder}/exit`
  const segments = [
    { address: codeAddress, bytes: code, flags: 'rx' as const },
    { address: dataAddress, bytes: data, flags: 'rw' as const },
  ]
  writeFileSync(output, writeStaticElf({ machine, entryAddress: codeAddress, segments }), { mode: 0o755 })
  return output
}

/**
 * The processor that contestants share: the last one that we may use, as the first gets most interrupts. Where a
 * child wakes its parent across two processors of a virtual machine, a spawn costs twice as much, and by chance.
 *
 * @returns undefined where there is only one, or no taskset
 */
export function findCpu(): number | undefined {
  const list = /^Cpus_allowed_list:\s*(\S+)/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1] ?? ''
  const last = /(\d+)$/.exec(list)?.[1]
  if (last === undefined || last === list) return undefined
  return spawnSync('taskset', ['-c', last, 'true']).status === 0 ? Number(last) : undefined
}
