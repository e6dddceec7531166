/**
 * The program of the device's agent: the API over HTTPS, for people, the `solo` command and other programs. It runs as
 * a user of its own and may do nothing by itself: it asks PID 1 and the updater over their sockets, and both decide.
 */
import { makeApi } from './agent/api.ts'
import { openFront } from './agent/front.ts'
import { openDevice } from './agent/open-device.ts'
import { ownIdentity } from './agent/identity.ts'
import { AGENT_SETTINGS_FILE, readAgentSettings } from './agent/settings.ts'

/** The longest body of a request: the documents of a release, as JSON; the answer to a want is shorter. */
const BODY_BYTES_MAX = 512 * 1024

/** When it is stopped, answers that are under way are still given: the one to the request to restart is. */
const LAST_ANSWERS_MS = 1000

/** The front closes what is idle. Bun's types have no such setting for Unix sockets; Bun has, and takes 10 s without. */
const neverIdle: object = { idleTimeout: 0 }

function log(line: string): void {
  process.stdout.write(`${line}\n`)
}

const settings = await readAgentSettings(process.argv[2] ?? AGENT_SETTINGS_FILE)
const identity = await ownIdentity(settings.folder, settings.hostname, log)
const device = openDevice(settings, identity, log)
const api = makeApi(device)
const front = await openFront({
  port: settings.port,
  folder: settings.runFolder,
  log,
  serve: (unix, peer) =>
    Bun.serve({
      unix,
      tls: { key: identity.privateKey, cert: identity.certificate },
      maxRequestBodySize: BODY_BYTES_MAX,
      // Else an error would be answered with a page that shows the program.
      development: false,
      ...neverIdle,
      fetch: (request) => api.fetch(request, peer()),
      error(error) {
        log(error.stack ?? error.message)
        return new Response(null, { status: 500 })
      },
    }),
})
log(`https on port ${front.port}, certificate SHA-256 ${identity.fingerprint}`)
// It ends with the agent; what goes wrong in between it tells itself, and tries again.
void device.channel?.follow(new AbortController().signal)
process.once('SIGTERM', () => {
  setTimeout(() => process.exit(0), LAST_ANSWERS_MS)
  void front.stop().then(() => process.exit(0))
})
