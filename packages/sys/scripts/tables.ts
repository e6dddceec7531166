/** Collects the kernel tables (syscalls, constants, errors) of both architectures as plain data. */

import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { evaluate } from './evaluate.ts'
import {
  findNames,
  kernelToolchain,
  libcToolchain,
  removeToolchain,
  run,
  selectNames,
  type Architecture,
  type FoundName,
  type Notation,
  type Toolchain,
} from './headers.ts'
import { collectLayouts, type Layout } from './layouts.ts'
import { extraConstants } from './selection/headers.ts'

/** A value per architecture; absent where the kernel has no such name. */
export interface PerArchitecture<T> {
  x64?: T
  arm64?: T
}

export interface Constant {
  readonly name: string
  readonly header: string
  readonly notation: Notation
  readonly value: PerArchitecture<bigint>
  /** Why it stands here although no header of the kernel has it. */
  readonly why?: string
}

export interface ErrorNumber {
  readonly number: number
  readonly name: string
  readonly message: string
  /** Other names of the same number: EWOULDBLOCK. */
  readonly aliases: readonly string[]
}

export interface Tables {
  /** LINUX_VERSION_CODE of the headers. */
  readonly version: number
  readonly syscalls: Record<Architecture, ReadonlyMap<string, number>>
  readonly constants: readonly Constant[]
  readonly errors: readonly ErrorNumber[]
  readonly layouts: ReadonlyMap<string, PerArchitecture<Layout>>
}

const architectures: readonly Architecture[] = ['x64', 'arm64']

/** Opens the three toolchains, runs `use`, and removes their folders whatever happens. */
export function withToolchains<T>(use: (kernel: Record<Architecture, Toolchain>, libc: Toolchain) => T): T {
  const opened: Toolchain[] = []
  const keep = (toolchain: Toolchain): Toolchain => {
    opened.push(toolchain)
    return toolchain
  }
  try {
    return use(
      { x64: keep(kernelToolchain('x64')), arm64: keep(kernelToolchain('arm64')) },
      keep(libcToolchain()),
    )
  } finally {
    for (const toolchain of opened) removeToolchain(toolchain)
  }
}

function collectSyscalls(toolchain: Toolchain, names: readonly FoundName[]): Map<string, number> {
  const numbers = names
    .map(({ name }) => name)
    .filter((name) => /^__NR_/.test(name) && !/^__NR_(syscalls|arch_specific_syscall)$/.test(name))
  const values = evaluate(toolchain, numbers)
  return new Map(
    [...values]
      .map(([name, value]) => [name.slice('__NR_'.length), Number(value)] as const)
      .toSorted((a, b) => a[1] - b[1] || (a[0] < b[0] ? -1 : 1)),
  )
}

function merge(
  into: Map<string, Constant>,
  toolchain: Toolchain,
  names: readonly FoundName[],
  on: readonly Architecture[],
): void {
  const selected = selectNames(toolchain, names)
  const values = evaluate(
    toolchain,
    selected.map(({ name }) => name),
  )
  for (const { name, header, notation } of selected) {
    const value = values.get(name)
    if (value === undefined) continue
    const known = into.get(name)
    const both = Object.fromEntries(on.map((architecture) => [architecture, value]))
    // What the first headers say stands: the kernel's before the C library's.
    into.set(
      name,
      known ? { ...known, value: { ...both, ...known.value } } : { name, header, notation, value: both },
    )
  }
}

/** The message text of an error number is the C library's; asked by a program that is run here. */
function errorMessages(libc: Toolchain, numbers: readonly number[]): string[] {
  const source = join(libc.folder, 'messages.c')
  const program = join(libc.folder, 'messages')
  writeFileSync(
    source,
    `#include <stdio.h>\n#include <string.h>\nint main(void) { int n[] = { ${numbers.join(', ')} };
for (unsigned i = 0; i < sizeof n / sizeof *n; i++) puts(strerror(n[i])); }\n`,
  )
  run(libc.compiler, [source, '-o', program])
  return run(program, []).trimEnd().split('\n')
}

function collectErrors(libc: Toolchain, constants: readonly Constant[]): ErrorNumber[] {
  const errors = constants.filter(({ header }) => header === 'asm/errno.h')
  for (const { name, value } of errors) {
    if (value.x64 !== value.arm64)
      throw new Error(`${name} differs between the architectures: errno.ts has one table`)
  }
  const byNumber = [...Map.groupBy(errors, ({ value }) => Number(value.x64))].toSorted((a, b) => a[0] - b[0])
  const messages = errorMessages(
    libc,
    byNumber.map(([number]) => number),
  )
  return byNumber.map(([number, constantsOfNumber], index) => {
    const names = constantsOfNumber.map(({ name }) => name)
    // Of two names, the one that is no alias of an older one: EAGAIN, EDEADLK, EOPNOTSUPP.
    const name = names.find((candidate) => !['EWOULDBLOCK', 'EDEADLOCK', 'ENOTSUP'].includes(candidate)) ?? ''
    return { number, name, message: messages[index] ?? '', aliases: names.filter((other) => other !== name) }
  })
}

/** LINUX_VERSION_CODE of the headers that a toolchain sees. */
export const versionOf = (toolchain: Toolchain): number =>
  Number(evaluate(toolchain, ['LINUX_VERSION_CODE']).get('LINUX_VERSION_CODE'))

/** Asks the compilers for everything that is selected. Needs gcc 12 or newer, for its type information. */
export function collectTables(): Tables {
  return withToolchains((kernel, libc) => {
    const constants = new Map<string, Constant>()
    const version = versionOf(kernel.x64)
    const syscalls = { x64: new Map<string, number>(), arm64: new Map<string, number>() }
    for (const architecture of architectures) {
      const toolchain = kernel[architecture]
      const names = findNames(toolchain)
      syscalls[architecture] = collectSyscalls(toolchain, names)
      merge(constants, toolchain, names, [architecture])
    }
    const kernelNames = new Set(constants.keys())
    const libcNames = findNames(libc).filter(({ name }) => !kernelNames.has(name))
    merge(constants, libc, libcNames, architectures)
    for (const [name, { expression, why }] of Object.entries(extraConstants)) {
      const value = BigInt(expression)
      constants.set(name, {
        name,
        header: 'linux/signal.h',
        notation: 'decimal',
        value: { x64: value, arm64: value },
        why,
      })
    }
    const list = [...constants.values()]
    return {
      version,
      syscalls,
      constants: list,
      errors: collectErrors(libc, list),
      layouts: collectLayouts(kernel, libc),
    }
  })
}
