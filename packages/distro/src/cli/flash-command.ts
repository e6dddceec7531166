// solo flash
import { join } from 'node:path'
import { createInterface } from 'node:readline/promises'
import { buildCommand, type Command, type CommandContext } from '@stricli/core'
import { kindOf } from '@pkg/vm/host'
import { SoloError } from '../error.ts'
import { flash as flashImage, type FlashTarget, inspectTarget, nameOfTarget } from '../flash.ts'
import { consoleProgress, print, tell } from './output.ts'

interface Flags {
  readonly erase?: string
}

/** Writes a disk image to a device. */
export const flash: Command<CommandContext> = buildCommand<Flags, [image: string, device: string]>({
  docs: {
    brief: 'Write a disk image to a device, such as a stick or a card',
    fullDescription:
      'Writes the disk image IMAGE (or the disk.img of a build folder) to DEVICE and reads it back. Everything on the\n' +
      'device is lost. A device that is mounted, swap, or part of another one is refused. Before it begins it asks for\n' +
      'model and size of the device; --erase gives them beforehand, for scripts.',
  },
  parameters: {
    positional: {
      kind: 'tuple',
      parameters: [
        { brief: 'Disk image, or the folder of a build', placeholder: 'IMAGE', parse: String },
        { brief: 'Whole disk, such as /dev/sdb', placeholder: 'DEVICE', parse: String },
      ],
    },
    flags: {
      erase: {
        kind: 'parsed',
        parse: String,
        placeholder: 'MODEL-AND-SIZE',
        brief: "What it would ask for, such as 'SanDisk Ultra 31.9 GB': do not ask",
        optional: true,
      },
    },
  },
  async func({ erase }, image, device) {
    const file = (await kindOf(image)) === 'folder' ? join(image, 'disk.img') : image
    if ((await kindOf(file)) !== 'file') {
      throw new SoloError(`${file} does not exist; solo build makes a disk image`, { exitStatus: 2 })
    }
    const target = await inspectTarget(device)
    await confirm(target, erase)
    await uninterrupted((signal) => flashImage(file, target, { signal, progress: consoleProgress() }))
    print(`${file} is on ${device}`)
  },
})

/** Asks whether this is the device that is meant, unless that was said before. */
async function confirm(target: FlashTarget, given: string | undefined): Promise<void> {
  const { path, serial, partitions } = target
  const name = nameOfTarget(target)
  if (given === undefined) {
    if (!process.stdin.isTTY) {
      const message = `${path} is ${name}: to erase it without being asked, add --erase '${name}'`
      throw new SoloError(message, { exitStatus: 2 })
    }
    tell(`${path} is ${name}${serial === undefined ? '' : `, serial number ${serial}`}`)
    tell(
      `partitions: ${partitions.length === 0 ? 'none' : partitions.join(', ')}. Everything on it will be lost.`,
    )
  }
  const answer = given ?? (await ask(`Type its model and size to go on (${name}): `))
  if (answer.trim() === name) return
  throw new SoloError(`${path} is ${name}, not ${JSON.stringify(answer.trim())}: nothing was written`, {
    exitStatus: 2,
  })
}

async function ask(question: string): Promise<string> {
  const lines = createInterface({ input: process.stdin, output: process.stderr })
  try {
    return await lines.question(question)
  } catch (error) {
    // Ctrl-C, or the end of the input.
    throw new SoloError('interrupted: nothing was written', { exitStatus: 130, cause: error })
  } finally {
    lines.close()
  }
}

/** Has Ctrl-C end the work at a point where it can be told what became of the device. */
async function uninterrupted(work: (signal: AbortSignal) => Promise<void>): Promise<void> {
  const controller = new AbortController()
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const
  const onSignal = (): void => {
    tell('\nending after this piece')
    controller.abort()
  }
  for (const signal of signals) process.on(signal, onSignal)
  try {
    await work(controller.signal)
  } finally {
    for (const signal of signals) process.off(signal, onSignal)
  }
}
