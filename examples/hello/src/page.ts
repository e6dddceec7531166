// The page: one HTML document that works without JavaScript.
import { Html, html, type HtmlValue } from './html.ts'
import type { Cgroup, Machine } from './machine.ts'
import type { Mount } from './mounts.ts'
import type { Interface } from './network.ts'
import type { Process } from './processes.ts'
import { style } from './style.ts'
import { formatBytes, formatDuration } from './units.ts'

const icon =
  "data:image/svg+xml,<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'><circle cx='8' cy='8' r='7' fill='%23c2561a'/></svg>"

/** The page that shows `machine`. */
export function renderPage(machine: Machine): string {
  const { hostname, system, kernel, cgroups, interfaces, mounts } = machine
  const first = machine.processes.find(({ pid }) => pid === 1)
  return html`<!doctype html>
    <html lang="en">
      <head>
        <meta charset="utf-8" />
        <meta name="viewport" content="width=device-width" />
        <title>
          ${hostname}: ${machine.processes.length} processes, up ${formatDuration(machine.uptimeSeconds)}
        </title>
        <link rel="icon" href="${icon}" />
        <style>
          ${new Html(style)}
        </style>
      </head>
      <body>
        <a class="skip" href="#processes">Skip to the processes</a>
        <header>
          <h1>${hostname}</h1>
          <p class="who">${first?.role}${first?.role === 'PID 1' ? ` is ${first.name}` : null}</p>
          <p>${system === null ? null : `${system} · `}Linux ${kernel.release} on ${kernel.architecture}</p>
          <p><small>${kernel.version}</small></p>
        </header>
        <main>
          ${tiles(machine)} ${processTable(machine.processes)}
          ${cgroups.length === 0 ? null : cgroupTable(cgroups)} ${interfaceTable(interfaces)}
          ${mountTable(mounts)}
        </main>
        <footer>
          Asked of the kernel for this answer, by system calls from TypeScript. <a href="/">Ask again</a>, or
          take the same facts <a href="/machine.json">as JSON</a>.
        </footer>
      </body>
    </html> `.text
}

function tiles({ uptimeSeconds, loads, memory, processor, processes, zombies }: Machine): Html {
  const used = memory.totalBytes - memory.availableBytes
  const threads = processes.filter(({ isKernelThread }) => isKernelThread).length
  const tile = (term: string, figure: string, rest: HtmlValue): Html =>
    html`<div>
      <dt>${term}</dt>
      <dd class="figure">${figure}</dd>
      <dd>${rest}</dd>
    </div> `
  const [one, five, fifteen] = loads.map((load) => load.toFixed(2))
  const remains = html`<span class="${zombies === 0 ? 'good' : 'bad'}">${plural(zombies, 'zombie')}</span>`
  return html`<dl class="tiles">
    ${tile('Up for', formatDuration(uptimeSeconds), plural(processor.count, 'processor'))}
    ${tile('Load', one ?? '', `over 1 minute; ${five} over 5, ${fifteen} over 15`)}
    ${tile('Memory in use', formatBytes(used), [bar(used, memory.totalBytes), `of ${formatBytes(memory.totalBytes)}`])}
    ${tile('Processes', String(processes.length - threads), [remains, `; and ${plural(threads, 'kernel thread')}`])}
  </dl>`
}

/** A bar for the eye; the figures stand beside it as text. */
function bar(part: number, whole: number): Html {
  const percent = whole === 0 ? 0 : Math.min(100, (100 * part) / whole)
  return html`<svg class="bar" aria-hidden="true"><rect width="${percent.toFixed(1)}%" height="100%" /></svg>`
}

interface Column {
  title: string
  isNumber?: boolean
}

/** A table below its heading. Where it is too wide it scrolls, by keyboard too. */
function section(
  id: string,
  title: string,
  about: HtmlValue,
  columns: readonly Column[],
  rows: Html[],
): Html {
  return html`<section id="${id}" aria-labelledby="${id}-title">
<h2 id="${id}-title">${title}</h2>
<p>${about}</p>
<div class="scroll" tabindex="0" role="region" aria-labelledby="${id}-title">
<table${columns.length > 4 ? new Html(' class="wide"') : null}>
<thead><tr>${columns.map((column) => html`<th scope="col" ${numberClass(column.isNumber)}>${column.title}</th>`)}</tr></thead>
<tbody>
${rows}</tbody>
</table>
</div>
</section>`
}

function numberClass(isNumber = false): Html | null {
  return isNumber ? new Html(' class="number"') : null
}

const states: Readonly<Record<string, string>> = {
  R: 'running',
  S: 'sleeping',
  D: 'waiting for a device',
  T: 'stopped',
  t: 'traced',
  Z: 'zombie',
  X: 'dead',
  I: 'idle',
  P: 'parked',
}

function processTable(processes: readonly Process[]): Html {
  const threads = processes.filter(({ isKernelThread }) => isKernelThread)
  const rows = processes
    .filter(({ isKernelThread }) => !isKernelThread)
    .map(
      ({ pid, parentPid, name, program, state, user, cgroup, residentBytes, role }) =>
        html`<tr${role === null ? null : new Html(' class="marked"')}>
<td class="number">${pid}</td><td class="number soft">${parentPid}</td>
<th scope="row">${role === null ? null : html`<span class="role">${role}</span>`}${name}
<span class="mono soft">${program === name ? null : program}</span></th>
<td>${states[state] ?? state}</td><td>${user}</td><td class="mono">${cgroup ?? '—'}</td>
<td class="number">${formatBytes(residentBytes)}</td></tr>
`,
    )
  const columns = [
    { title: 'PID', isNumber: true },
    { title: 'Parent', isNumber: true },
    { title: 'Name' },
    { title: 'State' },
    { title: 'User' },
    { title: 'Control group' },
    { title: 'Resident', isNumber: true },
  ]
  return html`${section('processes', 'Processes', 'Who is who, from /proc.', columns, rows)}
  ${threads.length === 0 ? null : threadList(threads)}`
}

function threadList(threads: readonly Process[]): Html {
  return html`<details>
    <summary>${plural(threads.length, 'kernel thread')}</summary>
    <ul class="threads">
      ${threads.map(({ pid, name }) => html`<li>${pid} ${name}</li>`)}
    </ul>
  </details>`
}

function cgroupTable(cgroups: readonly Cgroup[]): Html {
  const columns = [
    { title: 'Group' },
    { title: 'Service' },
    { title: 'Processes', isNumber: true },
    { title: 'Memory', isNumber: true },
    { title: 'Most so far', isNumber: true },
  ]
  const rows = cgroups.map(
    ({ path, service, processes, memoryBytes, memoryPeakBytes }) =>
      html`<tr>
        <th scope="row" class="mono">${path}</th>
        <td>${service ?? '—'}</td>
        <td class="number">${processes}</td>
        <td class="number">${formatBytes(memoryBytes)}</td>
        <td class="number">${formatBytes(memoryPeakBytes)}</td>
      </tr> `,
  )
  const about = 'Everything that a service starts stays in its group, and is counted there: file caches too.'
  return section('cgroups', 'Control groups', about, columns, rows)
}

function interfaceTable(interfaces: readonly Interface[]): Html {
  const columns = [{ title: 'Interface' }, { title: 'State' }, { title: 'Addresses' }, { title: 'Hardware' }]
  const rows = interfaces.map(
    ({ name, isUp, addresses, hardwareAddress }) =>
      html`<tr>
        <th scope="row">${name}</th>
        <td>${isUp ? 'up' : 'down'}</td>
        <td class="mono">
          ${addresses.length === 0 ? '—' : addresses.map((address) => html`${address}<br />`)}
        </td>
        <td class="mono">${hardwareAddress ?? '—'}</td>
      </tr> `,
  )
  return section('network', 'Network', 'Interfaces and addresses, from rtnetlink.', columns, rows)
}

function mountTable(mounts: readonly Mount[]): Html {
  const columns = [
    { title: 'Place' },
    { title: 'File system' },
    { title: 'Options' },
    { title: 'Used' },
    { title: 'Size', isNumber: true },
  ]
  const rows = mounts.map(({ target, type, source, options, sizeBytes, usedBytes }) => {
    const used =
      sizeBytes === null || usedBytes === null ? '—' : [formatBytes(usedBytes), bar(usedBytes, sizeBytes)]
    return html`<tr>
      <th scope="row" class="mono">${target}</th>
      <td>
        ${type}${source === type || source === 'none' ? null : html` <span class="mono soft">${source}</span>`}
      </td>
      <td class="mono soft">${options}</td>
      <td>${used}</td>
      <td class="number">${formatBytes(sizeBytes)}</td>
    </tr> `
  })
  return section('mounts', 'Mounts', 'From /proc/self/mountinfo and statfs.', columns, rows)
}

function plural(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`
}
