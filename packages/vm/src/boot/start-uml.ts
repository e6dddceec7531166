/** Guests in User Mode Linux, as `boot` starts them. */
import { guestImage } from '../guest-image.ts'
import { umlKernel } from '../guest-kernel.ts'
import { startUml, type UmlDisk } from '../uml.ts'
import type { DiskOptions } from '../qemu/types.ts'
import { assemble, hasAgent, limitsOf } from './assemble.ts'
import {
  AGENT_ENVIRONMENT,
  agentCommand,
  folderOf,
  initCommand,
  initProgram,
  resolvedShares,
} from './command.ts'
import { diskNames } from './check.ts'
import type { BootOptions } from './options.ts'
import type { Vm } from './vm.ts'

/** Boots a guest in User Mode Linux. @throws as `boot` */
export async function bootUml(options: BootOptions): Promise<Vm> {
  const { init, shares = [], root, modules, disks = [], memoryMiB, append } = options
  const image = await guestImage({
    architecture: 'x86_64',
    backend: 'uml',
    kernel: await umlKernel(),
    ...(modules === undefined ? {} : { modules }),
    ...(init === undefined ? {} : { programs: [initProgram(init[0])] }),
    ...(options.onProgress === undefined ? {} : { onNote: options.onProgress }),
  })
  const [program, ...args] = initCommand(init) ?? agentCommand('tty:/dev/ttyS0')
  const names = diskNames(disks)
  return assemble(options, {
    start: (onControl) =>
      startUml({
        ...limitsOf(options),
        folder: folderOf(image),
        program,
        args,
        ...(init === undefined ? { env: AGENT_ENVIRONMENT } : {}),
        raid6: wantsRaid6(modules),
        shares: resolvedShares(shares),
        hostRoot: root === 'host',
        disks: disks.map((disk) => umlDisk(disk)),
        ...(memoryMiB === undefined ? {} : { memoryMiB }),
        ...(append === undefined ? {} : { append }),
        failOn: hasAgent(options) ? { lockup: true, oom: true } : {},
        onReboot: hasAgent(options) ? 'restart' : 'end',
        ...(onControl === undefined ? {} : { onControl }),
      }),
    shareKind: 'mounted',
    device: async (_vm, name) => {
      const index = names.indexOf(name)
      if (index < 0) throw new TypeError(`device: there is no disk ${name}`)
      return `/dev/ubd${String.fromCodePoint(0x61 + index)}`
    },
  })
}

/** Modules that compute the second parity of RAID 6; btrfs is a part of Debian's kernel, but may be named all the same. */
const RAID6_MODULES = new Set(['btrfs', 'raid6_pq', 'raid456', 'dm_raid'])

function wantsRaid6(modules: BootOptions['modules'] = []): boolean {
  return modules === 'all' || modules.some((name) => RAID6_MODULES.has(name.replaceAll('-', '_')))
}

function umlDisk({ file, sizeBytes, readOnly = false, writable = false }: DiskOptions): UmlDisk {
  if (file === undefined) return sizeBytes === undefined ? {} : { sizeBytes }
  return { file, access: readOnly ? 'ro' : writable ? 'rw' : 'cow' }
}
