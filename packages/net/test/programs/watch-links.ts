// Prints every link event, one a line; ends at SIGTERM.
import { watchLinks } from '@pkg/net/link'

const stop = new AbortController()
process.on('SIGTERM', () => stop.abort())
for await (const { type, link } of watchLinks({ signal: stop.signal })) {
  process.stdout.write(
    `${type} ${link.name} ${link.up ? 'up' : 'down'} ${link.carrier ? 'carrier' : 'none'} ${link.mtu}\n`,
  )
}
process.stdout.write('end\n')
