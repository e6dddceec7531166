// The service: answers what machine this is, as a page and as data.
import { createHash } from 'node:crypto'
import { readMachine } from './machine.ts'
import { renderPage } from './page.ts'
import { style } from './style.ts'

// Nothing but the one style sheet in the page may act: text that slipped through as markup could not.
const contentSecurityPolicy = [
  "default-src 'none'",
  `style-src 'sha256-${createHash('sha256').update(style).digest('base64')}'`,
  'img-src data:',
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ')

/** Answers one request. */
export function handle(request: Request): Response {
  if (request.method !== 'GET' && request.method !== 'HEAD') {
    return answer('Only GET and HEAD are answered here.\n', 'text/plain', 405, { allow: 'GET, HEAD' })
  }
  switch (new URL(request.url).pathname) {
    case '/':
      return answer(renderPage(readMachine()), 'text/html')
    case '/machine.json':
      return answer(`${JSON.stringify(readMachine(), null, 2)}\n`, 'application/json')
    case '/healthz':
      return answer('ok\n', 'text/plain')
    default:
      return answer('Not found. There is / and /machine.json.\n', 'text/plain', 404)
  }
}

/** Every answer is of this moment, so none is kept; and is what its type says. */
function answer(body: string, type: string, status = 200, more: Record<string, string> = {}): Response {
  const headers = {
    'content-type': `${type}; charset=utf-8`,
    'cache-control': 'no-store',
    'content-security-policy': contentSecurityPolicy,
    'x-content-type-options': 'nosniff',
    ...more,
  }
  return new Response(body, { status, headers })
}

if (import.meta.main) {
  const server = Bun.serve({ port: Number(process.env['PORT'] ?? 8080), fetch: handle })
  console.log(`listening on port ${server.port}`)
}
