/** The report of a test file whose machine cannot be had: its tests are named from its source, and skipped. */
import type { RunnerTask, RunnerTestFile } from 'vitest'
import type { TestProject, TestSpecification, Vitest } from 'vitest/node'

/**
 * The file's tests as vitest finds them without running anything, each skipped with `note`. A file whose tests cannot
 * be told from its source is skipped as one.
 */
export async function skippedFile(
  vitest: Vitest,
  project: TestProject,
  path: string,
  note: string,
): Promise<RunnerTestFile> {
  const specification: TestSpecification = project.createSpecification(path)
  const [module] = await vitest.parseSpecifications([specification])
  // The public entity has no way to say why; the task behind it is what reporters read.
  const file = (module as unknown as { task: RunnerTestFile }).task
  file.pool = 'guest'
  // Tests at the top of a file that ran have no suite; reporters would name the file twice.
  for (const task of file.tasks) delete task.suite
  skip(file, note)
  return file
}

function skip(task: RunnerTask, note: string): void {
  // A file that cannot be parsed has failed, whatever it wanted.
  if (task.result?.state === 'fail') return
  if (task.mode === 'run' || task.mode === 'queued') task.mode = 'skip'
  // As `context.skip(note)` leaves it; vitest's types do not name the note.
  if (task.type === 'test') task.result = { state: 'skip', note } as NonNullable<RunnerTask['result']>
  else for (const inner of task.tasks) skip(inner, note)
}
