/** The error for a library that is nowhere. */

/**
 * A library or loader that a program needs is not in the sysroot.
 *
 * @example
 * ```ts
 * import { MissingLibraryError, elfClosure } from '@pkg/image/elf-closure'
 *
 * try {
 *   await elfClosure({ programs: ['/bin/ls'], sysroot: '/', libraries: ['libnowhere.so.1'] })
 * } catch (error) {
 *   if (error instanceof MissingLibraryError) console.log(error.library, error.searched.length > 0)
 * }
 * ```
 */
export class MissingLibraryError extends Error {
  override readonly name = 'MissingLibraryError'
  /** The program that was to be started, by its path in the image. */
  readonly program: string
  /** The file that asks for the library: the program, or a library of its. */
  readonly neededBy: string
  /** The name that was looked for. */
  readonly library: string
  /** The folders that were searched, in order. */
  readonly searched: readonly string[]
  /** Files of that name for another processor, which were passed over. */
  readonly passedOver: readonly string[]

  /** @param details - see the fields; `sysroot` is the host folder that was searched */
  constructor(details: {
    readonly program: string
    readonly neededBy: string
    readonly library: string
    readonly sysroot: string
    readonly searched: readonly string[]
    readonly passedOver: readonly string[]
  }) {
    const { program, neededBy, library, sysroot, searched, passedOver } = details
    const through = neededBy === program ? '' : ` (through ${neededBy})`
    const where = searched.length > 0 ? `, searched ${searched.join(', ')}` : ''
    const others = passedOver.length > 0 ? `; for another processor: ${passedOver.join(', ')}` : ''
    super(
      `${program}: needs ${library}${through}, which is not in ${sysroot}${where}${others}: install its package there`,
    )
    this.program = program
    this.neededBy = neededBy
    this.library = library
    this.searched = searched
    this.passedOver = passedOver
  }
}
