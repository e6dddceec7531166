// The reference appliance: one web service that shows, from the kernel itself, what machine it runs on.
import { defineAppliance } from '@pkg/distro/config'

export default defineAppliance({
  name: 'hello',
  services: [{ name: 'web', entry: './src/server.ts', ports: [8080] }],
})
