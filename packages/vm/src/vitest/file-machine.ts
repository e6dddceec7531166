/** The machine of test files that run in one process, and where in their source an error about it belongs. */
import { encodeValue } from './clone.ts'
import { MachineDefinitionError } from './errors.ts'
import { readMachine, type MachineText, type Place } from './machine-literal.ts'
import { machineOfFile, type GuestPoolOptions, type MachineDefinition } from './options.ts'

/** A machine, and the text that asks for it; without one it is the pool's. */
export interface FileMachine {
  /** What the pool's options and the file say together. */
  readonly machine: MachineDefinition
  /** What the file says. */
  readonly text: MachineText | undefined
}

/**
 * Several files at once (`isolate: false`, one worker) run in one process, hence in one machine.
 *
 * @throws MachineDefinitionError at the option of the file that is wrong; TypeError, RangeError the pool's is
 */
export async function machineOfFiles(
  options: GuestPoolOptions,
  files: readonly string[],
): Promise<FileMachine> {
  const machines = await Promise.all(files.map((file) => readFile(options, file)))
  const [first] = machines
  const other = machines.findIndex(({ machine }) => encodeValue(machine) !== encodeValue(first?.machine))
  if (first === undefined || other > 0)
    throw new TypeError(
      `${files[0]} and ${files[other]} want different machines, but run in one process (isolate: false): ` +
        'put them into projects of their own',
    )
  return first
}

async function readFile(options: GuestPoolOptions, file: string): Promise<FileMachine> {
  const text = await readMachine(file)
  try {
    return { machine: machineOfFile(options, text?.value), text }
  } catch (error) {
    const place = placeOf(error as Error, text)
    throw place === undefined ? error : new MachineDefinitionError((error as Error).message, place)
  }
}

/** Where the file asks for what `error` says cannot be: messages about an option begin with its name. */
export function placeOf({ message }: Error, text: MachineText | undefined): Place | undefined {
  return text?.placeOf(/^\w+/.exec(message)?.[0] ?? '')
}
