// The service: shows the guest book, and takes entries.
import { addEntry, FOLDER, readBook, type Entry } from './book.ts'

/** The longest name and text. */
const NAME_MAX = 80
const TEXT_MAX = 500

/** Answers one request about the book in a folder. */
export async function handle(request: Request, folder: string): Promise<Response> {
  const { pathname } = new URL(request.url)
  if (pathname === '/' && request.method === 'POST') return await take(request, folder)
  if (request.method !== 'GET') return answer('Only GET, and POST of an entry.\n', 'text/plain', 405)
  if (pathname === '/') return answer(pageOf(await readBook(folder)), 'text/html')
  if (pathname === '/entries.json') return answer(JSON.stringify(await readBook(folder)), 'application/json')
  return answer('Not found. There is / and /entries.json.\n', 'text/plain', 404)
}

async function take(request: Request, folder: string): Promise<Response> {
  const form = new URLSearchParams(await request.text())
  const [name = '', text = ''] = [form.get('name')?.trim(), form.get('text')?.trim()]
  if (name === '' || text === '' || name.length > NAME_MAX || text.length > TEXT_MAX) {
    const expected = `a name of 1 to ${NAME_MAX} and a text of 1 to ${TEXT_MAX} characters`
    return answer(`expected ${expected}\n`, 'text/plain', 400)
  }
  const hasRoom = await addEntry(folder, { name, text, at: new Date().toISOString() })
  return hasRoom ? Response.redirect('/', 303) : answer('The book is full.\n', 'text/plain', 507)
}

function pageOf(entries: readonly Entry[]): string {
  const items = entries.map(({ name, text, at }) => {
    return `<li><b>${Bun.escapeHTML(name)}</b>${at === null ? '' : `, ${Bun.escapeHTML(at)}`}: ${Bun.escapeHTML(text)}</li>`
  })
  return `<!doctype html><html lang="en"><title>Guest book</title><h1>Guest book</h1>
<ol>${items.join('\n')}</ol>
<form method="post"><label>Name <input name="name" maxlength="${NAME_MAX}" required></label>
<label>Text <input name="text" maxlength="${TEXT_MAX}" required></label><button>Write</button></form></html>
`
}

function answer(body: string, type: string, status = 200): Response {
  const headers = {
    'content-type': `${type}; charset=utf-8`,
    'content-security-policy': "default-src 'none'; form-action 'self'; frame-ancestors 'none'",
    'x-content-type-options': 'nosniff',
  }
  return new Response(body, { status, headers })
}

if (import.meta.main) {
  const server = Bun.serve({
    port: Number(process.env['PORT'] ?? 8080),
    maxRequestBodySize: 16 * 1024,
    fetch: async (request) => await handle(request, process.argv[2] ?? FOLDER),
  })
  console.log(`listening on port ${server.port}`)
}
