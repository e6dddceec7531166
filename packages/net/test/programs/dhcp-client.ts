// Runs the DHCP client with the options in its argument (JSON) and prints its events, one JSON object a line.
import { runDhcp4, type Dhcp4Options } from '@pkg/net/dhcp4'

const options = JSON.parse(process.argv[2] ?? '{}') as Dhcp4Options
const stop = new AbortController()
process.on('SIGTERM', () => stop.abort())
await runDhcp4({
  ...options,
  signal: stop.signal,
  onEvent: (event) => {
    const shown = event.type === 'problem' ? { ...event, error: event.error.message } : event
    process.stdout.write(`${JSON.stringify(shown)}\n`)
  },
})
process.stdout.write('{"type":"end"}\n')
