// A project need not install what the running `solo` has already: its configuration and its services find our
// packages beside it. What the project has itself comes first, except `defineAppliance`, which must be ours.
import { dirname } from 'node:path'
import type { BunPlugin } from 'bun'
import * as configModule from '../config.ts'

let isRegistered = false

/** Lets a configuration that is imported from now on find `@pkg/distro/config`, wherever its folder lies. */
export function offerConfigModule(): void {
  if (isRegistered) return
  isRegistered = true
  Bun.plugin({
    name: 'solo-config-module',
    setup(builder) {
      builder.module('@pkg/distro/config', () => ({ loader: 'object', exports: { ...configModule } }))
    },
  })
}

/** For the bundler: packages of ours that the project has not installed are taken from beside us. */
export const ownPackages: BunPlugin = {
  name: 'solo-own-packages',
  setup(builder) {
    builder.onResolve({ filter: /^@pkg\/[a-z]/ }, ({ path, importer }) => {
      if (find(path, dirname(importer)) !== undefined) return undefined
      const own = find(path, import.meta.dirname)
      return own === undefined ? undefined : { path: own }
    })
  },
}

function find(specifier: string, folder: string): string | undefined {
  try {
    return Bun.resolveSync(specifier, folder)
  } catch {
    return undefined
  }
}
