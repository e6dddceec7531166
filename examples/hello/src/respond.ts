// From a request to its answer; no socket is needed to try it.
import { createHash } from 'node:crypto'
import { type Machine, readMachine } from './machine.ts'
import { renderPage } from './page.ts'
import { style } from './style.ts'

/** The page brings its style sheet and its icon, and may load and run nothing else. */
const contentSecurityPolicy = [
  "default-src 'none'",
  `style-src 'sha256-${createHash('sha256').update(style).digest('base64')}'`,
  'img-src data:',
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ')

const commonHeaders = {
  'cache-control': 'no-store',
  'content-security-policy': contentSecurityPolicy,
  'referrer-policy': 'no-referrer',
  'x-content-type-options': 'nosniff',
} as const

/**
 * Answers a request: `/` the page, `/machine.json` the facts, `/healthz` that the service answers.
 *
 * @param machine - where the facts come from
 */
export function respond(request: Request, machine: () => Machine = readMachine): Response {
  if (request.method !== 'GET' && request.method !== 'HEAD')
    return answer('This page is only read.\n', 'text/plain', { status: 405, headers: { allow: 'GET, HEAD' } })
  switch (new URL(request.url).pathname) {
    case '/':
      return answer(renderPage(machine()), 'text/html')
    case '/machine.json':
      return answer(`${JSON.stringify(machine(), null, 2)}\n`, 'application/json')
    case '/healthz':
      return answer('ok\n', 'text/plain')
    default:
      return answer('There is /, /machine.json and /healthz.\n', 'text/plain', { status: 404 })
  }

  function answer(body: string, type: string, { status = 200, headers = {} }: Special = {}): Response {
    const allHeaders = { ...commonHeaders, 'content-type': `${type}; charset=utf-8`, ...headers }
    return new Response(request.method === 'HEAD' ? null : body, { status, headers: allHeaders })
  }
}

interface Special {
  status?: number
  headers?: Record<string, string>
}
