// The facts as a page: one document, no script, readable by people, screen readers and text browsers.
import type { RunningRelease } from './boot.ts'
import { html, Html } from './html.ts'
import type { Machine, Mount, Service } from './machine.ts'
import type { ProcessInfo } from './processes.ts'
import { style } from './style.ts'

// In one piece: the formatter moves what stands in a template, and the policy allows exactly these bytes.
const styleElement = new Html(`<style>${style}</style>`)

/** The whole document. */
export function renderPage(machine: Machine): string {
  const kernelThreads = machine.processes.filter(({ role }) => role === 'kernel')
  const programs = machine.processes.filter(({ role }) => role !== 'kernel')
  return html`<!doctype html>
    <html lang="en">
      <head>
        <meta charset="utf-8" />
        <meta name="viewport" content="width=device-width, initial-scale=1" />
        <title>${machine.hostname} · what machine is this?</title>
        <link rel="icon" href="data:," />
        ${styleElement}
      </head>
      <body>
        <header>
          <h1>${machine.hostname}</h1>
          <p class="lead">${introduction(machine)}</p>
        </header>
        <main>
          ${facts(machine)}
          <h2 id="services">Services</h2>
          ${services(machine)}
          <h2 id="processes">Processes</h2>
          <p>${zombieSentence(machine.zombies)}</p>
          ${processTable('processes', programs, machine)}
          ${kernelThreads.length === 0 ? '' : folded(kernelThreads, machine)}
          <h2 id="mounts">Mounts</h2>
          ${mountTable(machine.mounts)}
        </main>
        <footer>
          <p>
            Everything here was asked of the kernel while this page was made, through <code>@pkg/sys</code>.
            The same as data: <a href="/machine.json">machine.json</a>.
          </p>
        </footer>
      </body>
    </html> `.markup
}

function introduction({ pid1, self }: Machine): Html {
  const here = html`This page was made by PID ${self.pid}.`
  if (pid1.isSolo) {
    return html`A Linux machine whose first process is TypeScript: PID 1 is Bun running
      <code>@pkg/init</code> (<code>${pid1.command ?? ''}</code>). ${here}`
  }
  const first = pid1.command === null ? 'hidden' : html`<code>${pid1.command}</code>`
  return html`A Linux machine, not booted by Solo: PID 1 is ${first}. ${here}`
}

function facts({ kernel, release, uptimeSeconds, loads, memory }: Machine): Html {
  const { totalBytes, freeBytes, availableBytes } = memory
  const usedBytes = totalBytes - (availableBytes ?? freeBytes)
  const usage = `${formatBytes(usedBytes)} of ${formatBytes(totalBytes)}`
  const load = loads.map((average) => average.toFixed(2)).join(' · ')
  return html`<dl class="facts">
    ${release === null ? '' : releaseFact(release)}
    <div>
      <dt>Kernel</dt>
      <dd>${kernel.sysname} ${kernel.release}<small>${kernel.machine}</small></dd>
    </div>
    <div>
      <dt>Up for</dt>
      <dd>${formatDuration(uptimeSeconds)}</dd>
    </div>
    <div>
      <dt>Load</dt>
      <dd>${load}<small>over 1, 5 and 15 minutes</small></dd>
    </div>
    <div>
      <dt>Memory in use</dt>
      <dd>
        ${usage}
        <meter min="0" max="${totalBytes}" value="${usedBytes}" aria-label="Memory in use">${usage}</meter>
      </dd>
    </div>
  </dl>`
}

function releaseFact({ version, counter, slot, standing, lastRollback }: RunningRelease): Html {
  const place = [`release ${counter}`, slot, standing].filter((part) => part !== null).join(', ')
  return html`<div>
    <dt>Version</dt>
    <dd>
      ${version}<small>${place}</small>${lastRollback === null ? '' : html`<small>${lastRollback}</small>`}
    </dd>
  </div>`
}

function services({ services: list, self, processes }: Machine): Html {
  if (list.length === 0) return html`<p>None: no process here is in a cgroup of Solo's.</p>`
  const own = processes.find(({ pid }) => pid === self.pid)?.service
  const row = ({ name, memoryBytes, pids }: Service): Html =>
    html`<tr>
      <th scope="row">${name}${name === own ? html` <span class="who">this page</span>` : ''}</th>
      <td><code>/solo/${name}</code></td>
      <td class="number">${memoryBytes === null ? 'not counted' : formatBytes(memoryBytes)}</td>
      <td>${pids.join(', ') || 'none'}</td>
    </tr>`
  return table('services', ['Name', 'Cgroup', '#Memory', 'PIDs'], list.map(row))
}

function folded(threads: ProcessInfo[], machine: Machine): Html {
  return html`<details>
    <summary id="threads">${threads.length} threads of the kernel</summary>
    ${processTable('threads', threads, machine)}
  </details>`
}

function processTable(label: string, processes: ProcessInfo[], { users, self, pid1 }: Machine): Html {
  const row = (info: ProcessInfo): Html => {
    const marked = info.role === 'init' || info.role === 'service'
    return html`<tr${marked ? html` class="marked"` : ''}>
<td class="number">${info.pid}</td>
<td class="number">${info.ppid}</td>
<th scope="row">${info.name}</th>
<td class="who">${describeRole(info, self.pid, pid1.isSolo)}</td>
<td>${states[info.state] ?? info.state}</td>
<td>${users[info.uid] ?? info.uid}</td>
<td><code>${info.cgroup ?? '–'}</code></td>
<td class="number">${info.residentBytes === 0 ? '–' : formatBytes(info.residentBytes)}</td></tr>`
  }
  const headings = ['#PID', '#Parent', 'Name', 'Who', 'State', 'User', 'Cgroup', '#Resident']
  return table(label, headings, processes.map(row))
}

function describeRole({ pid, role, service }: ProcessInfo, selfPid: number, isSolo: boolean): string {
  const self = pid === selfPid ? 'this page' : ''
  if (role === 'init') return isSolo ? 'init (Bun running @pkg/init)' : 'init'
  if (role === 'service') return [`service ${service}`, self].filter(Boolean).join(', ')
  return role === 'kernel' ? 'kernel' : self
}

/** The letters of fs/proc/array.c (`task_state_array`) in words. */
const states: Record<string, string> = {
  R: 'running',
  S: 'sleeping',
  D: 'waiting for a device',
  T: 'stopped',
  t: 'traced',
  I: 'idle',
  Z: 'zombie',
  X: 'dead',
}

function zombieSentence(zombies: number): string {
  if (zombies === 0) return 'No zombies: every process that ended was reaped.'
  return zombies === 1 ? '1 zombie: it ended and was not reaped.' : `${zombies} zombies: not reaped.`
}

function mountTable(mounts: Mount[]): Html {
  const row = ({ target, source, type, options }: Mount): Html =>
    html`<tr>
      <th scope="row"><code>${target}</code></th>
      <td>${type}</td>
      <td><code>${source}</code></td>
      <td>${options.replaceAll(',', ', ')}</td>
    </tr>`
  return table('mounts', ['On', 'Type', 'From', 'Options'], mounts.map(row))
}

/** A table that scrolls by itself on narrow screens. A heading with # is that of a column of numbers. */
function table(label: string, headings: string[], rows: Html[]): Html {
  const cells = headings.map((heading) =>
    heading.startsWith('#')
      ? html`<th scope="col" class="number">${heading.slice(1)}</th>`
      : html`<th scope="col">${heading}</th>`,
  )
  // Focusable, so that it can be scrolled without a pointer.
  return html`<div class="scroll" role="region" aria-labelledby="${label}" tabindex="0">
    <table>
      <thead>
        <tr>
          ${cells}
        </tr>
      </thead>
      <tbody>
        ${rows}
      </tbody>
    </table>
  </div>`
}

/** `28.1 MiB` */
export function formatBytes(sizeBytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB']
  let value = sizeBytes
  let unit = 0
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024
    unit += 1
  }
  return `${unit === 0 ? value : value.toFixed(1)} ${units[unit]}`
}

/** The two largest units, without those that are zero: `3 d 4 h`, `12 min 5 s`. */
export function formatDuration(seconds: number): string {
  const parts = [
    [Math.floor(seconds / 86_400), 'd'],
    [Math.floor(seconds / 3600) % 24, 'h'],
    [Math.floor(seconds / 60) % 60, 'min'],
    [Math.floor(seconds) % 60, 's'],
  ] as const
  const first = parts.findIndex(([count]) => count > 0)
  if (first === -1) return '0 s'
  return parts
    .slice(first, first + 2)
    .filter(([count]) => count > 0)
    .map(([count, unit]) => `${count} ${unit}`)
    .join(' ')
}
