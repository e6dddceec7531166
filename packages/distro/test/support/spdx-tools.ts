// The SPDX group's own tools, which judge bills of materials: from PyPI, installed once into the cache folder.
import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, renameSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { cacheFolder, scratchBeside } from '@pkg/vm/host'

const version = '0.8.3'

/** What they find wrong with a document; empty for a valid one. */
export function spdxProblems(document: string): string {
  const code = 'from spdx_tools.spdx.clitools.pyspdxtools import main; main()'
  const env = { ...process.env, PYTHONPATH: installed() }
  const { status, stdout, stderr } = spawnSync('python3', ['-c', code, '-i', document], {
    encoding: 'utf8',
    env,
  })
  return status === 0 ? '' : `status ${status}: ${stdout}${stderr}`
}

function installed(): string {
  const folder = join(cacheFolder(), 'test-tools', `spdx-tools-${version}`)
  if (existsSync(folder)) return folder
  mkdirSync(dirname(folder), { recursive: true })
  using scratch = scratchBeside(folder)
  const target = join(scratch.folder, 'packages')
  const quiet = ['--quiet', '--disable-pip-version-check', '--root-user-action=ignore']
  execFileSync('python3', ['-m', 'pip', 'install', ...quiet, '--target', target, `spdx-tools==${version}`])
  renameSync(target, folder)
  return folder
}
