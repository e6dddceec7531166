// solo build
import { buildCommand, type Command, type CommandContext } from '@stricli/core'
import { sizeLines } from '../build/component-sizes.ts'
import { buildAppliance, type BuildFormat } from '../build.ts'
import { parseFolder, parseFormat } from './parse.ts'
import { consoleProgress, print, tell } from './output.ts'

interface Flags {
  readonly format: BuildFormat
  readonly out?: string
  readonly updateLock: boolean
  readonly json: boolean
}

/** Builds the appliance of a folder. */
export const build: Command<CommandContext> = buildCommand<Flags, [folder?: string]>({
  docs: {
    brief: 'Build the appliance of a folder',
    fullDescription:
      'Builds the appliance that solo.config.ts in DIR describes: a disk image that firmware boots, an initramfs\n' +
      'that holds everything, or a unified kernel image (one file that firmware boots).\n' +
      'Packages are pinned in solo.lock beside it; with the pins in the cache no network is needed.\n' +
      'Beside the image are sbom.spdx.json, the bill of materials (SPDX 2.3): every file with its digests and the\n' +
      'package that it comes from; and appliance.json, which tells hashes and sizes.',
  },
  parameters: {
    positional: {
      kind: 'tuple',
      parameters: [
        { brief: 'Folder with solo.config.ts', placeholder: 'DIR', parse: String, optional: true },
      ],
    },
    flags: {
      format: {
        kind: 'parsed',
        parse: parseFormat,
        brief: 'What to make: disk, initramfs or uki',
        placeholder: 'FORMAT',
        default: 'disk',
      },
      out: {
        kind: 'parsed',
        parse: parseFolder,
        brief: 'Folder for the result (default: DIR/build)',
        optional: true,
      },
      updateLock: {
        kind: 'boolean',
        brief: 'Take the newest packages and pin them in solo.lock',
        withNegated: false,
      },
      json: { kind: 'boolean', brief: 'Print what was built as JSON', withNegated: false },
    },
  },
  async func({ format, out, updateLock, json }, folder = '.') {
    const result = await buildAppliance(folder, {
      format,
      updateLock,
      progress: consoleProgress(),
      ...(out === undefined ? {} : { out }),
    })
    for (const line of sizeLines(result.manifest.sizes)) tell(`  ${line}`)
    tell(`  bill of materials: ${result.sbom}`)
    print(json ? JSON.stringify({ folder: result.folder, ...result.manifest }) : result.folder)
  },
})
