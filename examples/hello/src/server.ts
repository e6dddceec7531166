// Answers every request with what the kernel says about the machine, as plain text.
import { readFileSync } from 'node:fs'
import { sysinfo, uname } from '@pkg/sys/system'

function page(): string {
  const { sysname, release, machine, nodename } = uname()
  const { uptime } = sysinfo()
  const pid1 = readFileSync('/proc/1/cmdline', 'utf8').replaceAll('\0', ' ').trim()
  return [
    `${nodename}: ${sysname} ${release} on ${machine}`,
    `up ${uptime} s`,
    `PID 1 is ${pid1}`,
    `this is PID ${process.pid}, user ${process.getuid?.()}`,
    '',
  ].join('\n')
}

const server = Bun.serve({
  port: Number(process.env['PORT'] ?? 8080),
  fetch: () => new Response(page(), { headers: { 'content-type': 'text/plain; charset=utf-8' } }),
})
console.log(`listening on port ${server.port}`)
