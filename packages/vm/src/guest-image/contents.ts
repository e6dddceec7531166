/** What is in a guest's root: Bun with its C library, the agent, a few files of /etc, and no shell. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { elfClosure } from '@pkg/image/elf-closure'
import { hostFile } from '@pkg/image/file-source'
import { FileTree } from '@pkg/image/tree'
import { openArchive } from '../archive.ts'
import { MODPROBE_PATH } from '../guest/modprobe-path.ts'
import { hostArchitecture } from '../host/system.ts'
import type { Architecture } from '../machine.ts'
import { provideGlibc } from '../runtime.ts'

/** A program of the host in a guest. */
export interface GuestProgram {
  /** Absolute path in the guest. */
  readonly path: string
  /** Path on the host. */
  readonly source: string
}

/** Where the files come from. */
export interface ContentsOptions {
  /** The guest's processor. */
  readonly architecture: Architecture
  /** The Bun for it. */
  readonly bun: string
  /** The folder that `agentBundle` gives. */
  readonly agent: string
  /** More programs of the host. */
  readonly programs: readonly GuestProgram[]
  /** The cache folder. */
  readonly cache: string
}

/** Folders that something is mounted on, or written to. */
const FOLDERS = ['/proc', '/sys', '/dev', '/run', '/mnt', '/host', '/etc', '/var'] as const

/** QEMU's own NAT has its name server at that address. */
const TEXTS: Readonly<Record<string, string>> = {
  '/etc/passwd': 'root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n',
  '/etc/group': 'root:x:0:\ntty:x:5:\nnogroup:x:65534:\n',
  '/etc/hosts': '127.0.0.1 localhost\n::1 localhost\n',
  '/etc/nsswitch.conf': 'passwd: files\ngroup: files\nhosts: files dns\n',
  '/etc/resolv.conf': 'nameserver 10.0.2.3\n',
}

/** A script whose interpreter has an argument of its own (execve(2)): the agent, which finds this path as its first. */
const MODPROBE = '#!/bin/bun /sbin/agent.js\n'

/** The tree, without modules. */
export async function contentsOf(options: ContentsOptions): Promise<FileTree> {
  const { architecture, bun, agent, programs, cache } = options
  const tree = new FileTree()
  for (const path of FOLDERS) tree.add({ path, type: 'directory' })
  for (const path of ['/tmp', '/var/tmp']) tree.add({ path, type: 'directory', mode: 0o1777 })
  tree.add({ path: '/root', type: 'directory', mode: 0o700 })
  const isForeign = architecture !== hostArchitecture()
  const sysroot = isForeign ? await provideGlibc(await openArchive({ architecture, cache }), cache) : '/'
  for (const entry of await elfClosure({
    programs: [{ path: '/bin/bun', source: bun }, ...programs],
    sysroot,
  })) {
    if (entry.type === 'symlink') tree.add(entry)
    else {
      const { path, source } = entry
      // The loader may be run as a program, and packages unpack libraries without that bit.
      tree.add({ path, type: 'file', mode: entry.mode | 0o111, content: await hostFile(source) })
    }
  }
  for (const name of ['agent.js', 'agent.js.jsc', 'constants.json']) {
    const source = join(agent, name)
    if (existsSync(source)) tree.add({ path: `/sbin/${name}`, type: 'file', content: await hostFile(source) })
  }
  tree.add({ path: MODPROBE_PATH, type: 'file', mode: 0o755, content: new TextEncoder().encode(MODPROBE) })
  for (const [path, text] of Object.entries(TEXTS)) {
    tree.add({ path, type: 'file', content: new TextEncoder().encode(text) })
  }
  return tree
}
