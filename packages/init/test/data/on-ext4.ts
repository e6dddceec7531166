/** `copy TO FOLDER…` (`-` for none), `remove PATH`, `measure FOLDER…`, `rename FROM TO`: the steps, below this folder. */
import { breathing } from '../../src/data/breath.ts'
import { machineFiles } from '../../src/data/files.ts'

const files = machineFiles(breathing(performance.now.bind(performance), () => null))
const [request, ...words] = process.argv.slice(2)
const [first = '', second = '', ...rest] = words.map((word) =>
  word === '-' ? word : `${process.cwd()}/${word}`,
)
const folders = [second, ...rest].filter((word) => word !== '').map((word) => (word === '-' ? null : word))

try {
  if (request === 'copy') await files.copy(folders, first)
  else if (request === 'remove') await files.remove(first)
  else if (request === 'rename') files.rename(first, second)
  else {
    const { sizeBytes } = await files.measure([first, second])
    process.stdout.write(`${sizeBytes}\n`)
  }
} catch (error) {
  process.stdout.write(`${error instanceof Error ? error.message : String(error)}\n`)
}
