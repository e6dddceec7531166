// A guest book whose release 2 keeps its entries in another format than release 1 did.
import { defineAppliance } from '@pkg/distro/config'

export default defineAppliance({
  name: 'guestbook',
  version: '2.0',
  release: 2,
  folders: [{ path: '/var/lib/guestbook', user: 'guestbook' }],
  services: [
    {
      name: 'guestbook',
      entry: './src/server.ts',
      ports: [8080],
      health: { http: { port: 8080, path: '/entries.json' } },
      data: {
        version: 2,
        folders: ['/var/lib/guestbook'],
        migrate: { entry: './src/migrate.ts' },
      },
      beforeUpdate: { entry: './src/before-update.ts' },
    },
  ],
})
