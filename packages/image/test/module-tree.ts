/** A small kernel's folder of modules, real ELF files, with depmod's tables. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { run, runOk, temporaryFolder } from './run.ts'

/** The release of the kernel that the folder belongs to. */
export const release = '6.1.0-test'

interface ModuleSource {
  readonly path: string
  readonly info: readonly string[]
  readonly exports?: string
  readonly uses?: string
}

/** In the order of modules.order. */
const modules: readonly ModuleSource[] = [
  { path: 'kernel/drivers/bus-core.ko', info: ['depends='], exports: 'bus' },
  {
    path: 'kernel/drivers/ring.ko',
    info: ['depends=bus-core', 'softdep=pre: crypto-sum nowhere'],
    exports: 'ring',
    uses: 'bus',
  },
  {
    path: 'kernel/drivers/net/net-dev.ko',
    info: [
      'alias=virtio:d00000001v*',
      'alias=pci:v00001AF4d0000100[0-9A-F]sv*sd*bc*sc*i*',
      'firmware=vendor/a.bin',
      'firmware=vendor/b.bin',
      'softdep=post: late-one',
      'weakdep=helper',
      'depends=ring',
    ],
    uses: 'ring',
  },
  {
    path: 'kernel/crypto/sum_fast.ko',
    info: ['alias=crypto-sum', 'alias=cpu:type:x86,ven*fam*mod*:feature:*0094*', 'depends='],
  },
  {
    path: 'kernel/crypto/sum_generic.ko',
    info: ['alias=crypto-sum', 'alias=crypto-sum-generic', 'depends='],
  },
  { path: 'kernel/lib/libx.ko', info: ['depends=', 'firmware=vendor/b.bin'], exports: 'x' },
  { path: 'kernel/misc/late_one.ko', info: ['depends=libx'], uses: 'x' },
  { path: 'kernel/misc/helper.ko', info: ['depends=libx'], uses: 'x' },
  { path: 'kernel/fs/fancyfs.ko', info: ['alias=fs-fancyfs', 'softdep=pre: extfs', 'depends='] },
]

/** Names of all modules as the kernel writes them. */
export const moduleNames: readonly string[] = [
  'bus_core',
  'ring',
  'net_dev',
  'sum_fast',
  'sum_generic',
  'libx',
  'late_one',
  'helper',
  'fancyfs',
]

/** Makes the folder as a distribution's package has it, before depmod; returns `…/lib/modules/RELEASE`. */
export function packagedModules(): string {
  const folder = join(temporaryFolder(), 'lib/modules', release)
  for (const module of modules) {
    const path = join(folder, module.path)
    mkdirSync(dirname(path), { recursive: true })
    const strings = module.info.map(
      (text, index) =>
        `static const char info${index}[] __attribute__((used, section(".modinfo"))) = ${JSON.stringify(text)};`,
    )
    if (module.exports) {
      strings.push(
        `const char names[] __attribute__((section("__ksymtab_strings"))) = "${module.exports}_call";`,
      )
    }
    if (module.uses) strings.push(`void ${module.uses}_call(void); void *use = (void *)${module.uses}_call;`)
    runOk(['gcc', '-c', '-x', 'c', '-o', path, '-'], { input: Buffer.from(`${strings.join('\n')}\n`) })
  }
  writeFileSync(join(folder, 'modules.order'), modules.map(({ path }) => `${path}\n`).join(''))
  writeFileSync(
    join(folder, 'modules.builtin'),
    'kernel/fs/extfs.ko\nkernel/drivers/char/virtio-console.ko\n',
  )
  const builtin = [
    'extfs.alias=fs-extfs',
    'extfs.file=fs/extfs',
    'extfs.firmware=ext.bin',
    'extfs.description=A=B',
  ]
  writeFileSync(join(folder, 'modules.builtin.modinfo'), builtin.map((text) => `${text}\0`).join(''))
  return folder
}

/** Makes the folder as it is once a package is installed. */
export function installedModules(): string {
  const folder = packagedModules()
  runDepmod(folder)
  return folder
}

/** The root of the tree that has `folder` as its `/lib/modules/RELEASE`. */
const rootOf = (folder: string): string => join(folder, '../../..')

/** Runs kmod's depmod. */
export function runDepmod(folder: string): void {
  runOk(['depmod', '-b', rootOf(folder), release])
}

/** What kmod's modprobe would load for a name, in order, and what it says is built in. */
export function showDepends(folder: string, name: string): { files: string[]; builtin: string[] } {
  const { stdout } = run(['modprobe', '-d', rootOf(folder), '-S', release, '--show-depends', name])
  const words = (keyword: string): string[] =>
    [...stdout.matchAll(new RegExp(`^${keyword} (\\S+)`, 'gm'))].map((match) => match[1] ?? '')
  // A module may be listed twice; the second time it is loaded already.
  return { files: [...new Set(words('insmod'))], builtin: [...new Set(words('builtin'))] }
}
