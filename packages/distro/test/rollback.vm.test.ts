// The rollback matrix, in short: the machine meets its fault, comes back with a whole release and all files of its user,
// and takes the next good release. Its other cells are in `npm run test:torture`.
import { afterAll, beforeAll, expect, test } from 'vitest'
import { testFolder } from './support/folder.ts'
import { cellText, MatrixBench } from './torture/matrix-run.ts'
import { cellName, shortCells } from './torture/matrix.ts'

const folder = testFolder()
let bench: MatrixBench

beforeAll(
  async () => (bench = await MatrixBench.make({ folder: folder.path, cells: shortCells, seed: 'short' })),
  400_000,
)
afterAll(() => folder[Symbol.dispose]())

test.each(shortCells.map((cell) => ({ name: cellName(cell), cell })))(
  'comes back from $name, and takes the next good release',
  async ({ cell }) => {
    const report = await bench.run(cell)
    console.log(cellText(report))
    expect(report.problem).toBeUndefined()
  },
  900_000,
)
