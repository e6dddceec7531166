/** Trees by chance that FAT can hold. */
import fc from 'fast-check'
import { comparable } from '../src/fat/fold.ts'
import { FileTree } from '../src/tree.ts'
import { anyName } from './any-tree.ts'
import { noise } from './erofs-images.ts'

/** A name that FAT can hold, of up to 60 characters. */
const anyFatName = fc
  .oneof(anyName, fc.stringMatching(/^[A-Za-z0-9~_.]{1,12}$/))
  // oxlint-disable-next-line no-control-regex -- what FAT does not allow
  .map((name) => name.replaceAll(/[\u0000-\u001f"*:<>?\\|\u007f]/g, '_').replace(/[. ]+$/, '!'))

/** Up to 60 files and directories, up to four deep, no two of which FAT takes for the same. */
export const anyFatTree: fc.Arbitrary<FileTree> = fc
  .array(
    fc.tuple(
      fc.array(anyFatName, { minLength: 1, maxLength: 4 }),
      fc.option(fc.oneof(fc.nat(5000), fc.nat(100_000)).map(noise)),
      fc.nat(4_000_000_000),
    ),
    { maxLength: 60 },
  )
  .map((nodes) => {
    const tree = new FileTree()
    const seen = new Map<string, string>()
    for (const [names, content, mtimeSeconds] of nodes) {
      // Directories that differ only in case are one: of the first one's name.
      let path = ''
      for (const name of names) {
        const child = `${path}/${name}`
        path = seen.get(comparable(child)) ?? child
        seen.set(comparable(child), path)
      }
      try {
        if (content === null) tree.add({ path, type: 'directory', mtimeSeconds })
        else tree.add({ path, type: 'file', content, mtimeSeconds })
      } catch (error) {
        // Two of the same path, or one below a file: another test's matter.
        if (!(error instanceof TypeError)) throw error
      }
    }
    return tree
  })
