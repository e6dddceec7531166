// gdb at a guest's kernel: it reads and writes memory as nothing inside could.
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import type { Vm } from '../../src/boot.ts'

const execute = promisify(execFile)

/** Runs gdb's commands at the guest that listens at `port`, and gives what gdb printed. The guest then goes on. */
export async function debug(port: number, commands: readonly string[]): Promise<string> {
  const all = ['set architecture i386:x86-64', `target remote 127.0.0.1:${port}`, ...commands, 'detach']
  const words = all.flatMap((command) => ['-ex', command])
  const { stdout } = await execute('gdb', ['-nx', '-batch', ...words], { timeout: 60_000 })
  return stdout
}

/** The address of a symbol of the guest's kernel, as gdb takes it. */
export function kernelAddress(vm: Vm, symbol: string): Promise<string> {
  return vm.run(async (name) => {
    const { readFileSync } = await import('node:fs')
    const line = new RegExp(`^([0-9a-f]+) . ${name}$`, 'm').exec(readFileSync('/proc/kallsyms', 'latin1'))
    if (line === null) throw new Error(`the kernel has no symbol ${name}`)
    return `0x${line[1]}`
  }, symbol)
}
