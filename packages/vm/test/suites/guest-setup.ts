// Runs in the guest before each test file. What its tests start needs more than the modules that vitest brings:
// programs, which Debian has in /bin too and not only in /usr, and the paths by which Bun finds `@pkg/…`.
import { beforeEach } from 'vitest'
import { existsSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { release } from 'node:os'
import { fileURLToPath } from 'node:url'
import { lacking } from './excluded.ts'
import tsconfig from '../../../../tsconfig.base.json' with { type: 'json' }

for (const folder of ['bin', 'sbin'])
  for (const name of readdirSync(`/usr/${folder}`))
    if (!existsSync(`/${folder}/${name}`)) symlinkSync(`/usr/${folder}/${name}`, `/${folder}/${name}`)
writeFileSync(
  fileURLToPath(new URL('../../../../tsconfig.base.json', import.meta.url)),
  JSON.stringify(tsconfig),
)

// As config's `testTimeout`: what takes a second on the host can take a minute where every instruction is translated.
process.env['SOLO_SCRIPT_LIMIT_MS'] = '600000'

const architecture = process.arch === 'arm64' ? 'aarch64' : 'x86_64'
beforeEach(({ task, skip }) => {
  const names = [task.name]
  for (let { suite } = task; suite; suite = suite.suite) names.unshift(suite.name)
  const reason = lacking(architecture, release(), names.join(' '))
  if (reason !== undefined) skip(reason)
})
