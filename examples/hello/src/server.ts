// The service `web`: a page that shows what machine it runs on, as the kernel tells it.
import { respond } from './respond.ts'

const { PORT = '8080', HOST } = process.env
const port = Number(PORT)
if (!/^\d+$/.test(PORT) || port > 65_535) {
  process.stderr.write(`PORT: expected a number from 0 to 65535, got ${PORT}\n`)
  process.exit(2)
}

const server = Bun.serve({
  port,
  // Without one, every address of the machine.
  ...(HOST === undefined ? {} : { hostname: HOST }),
  fetch: (request) => respond(request),
  error(error) {
    process.stderr.write(`${error.stack ?? error.message}\n`)
    return new Response('The kernel could not be asked; the log says why.\n', { status: 500 })
  },
})
process.stdout.write(`listening on port ${server.port}\n`)
