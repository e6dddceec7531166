// A device's status for people.
import type { ServiceReport } from '@pkg/init/control'
import type { SlotState } from '@pkg/update/updater-protocol'
import type { DeviceStatus, UpdateState } from '../agent/bodies.ts'

/** Lines of text, without colours, so that they can be piped. */
export function statusLines({ machine, slots, update, channel }: DeviceStatus): string[] {
  const { boot, gate, services, uptimeMs, shutdown } = machine
  const { release, lastRollback } = boot
  const what =
    release === null
      ? 'unknown release'
      : `${release.appliance} ${release.version} (release ${release.counter}), ${release.board}, ${release.architecture}`
  return [
    `running   ${what}`,
    `slot      ${boot.slot ?? 'none: nothing is counted'}${boot.slot === null ? '' : `, ${standing(machine)}`}`,
    ...(gate === null || gate.reason === '' ? [] : [`gate      ${gate.state}: ${gate.reason}`]),
    `up for    ${duration(uptimeMs)}${shutdown === null ? '' : `, ${shutdown} under way`}; clock: ${boot.clock}`,
    `floor     releases from ${boot.counterFloor} on are taken`,
    ...table('slots', slots?.map(slotRow) ?? []),
    ...table('services', services.map(serviceRow)),
    ...(lastRollback === null
      ? []
      : [
          `rollback  ${lastRollback.from.version ?? 'a release'} (${lastRollback.from.slot}) was given up ` +
            `${lastRollback.at}: ${lastRollback.reason}`,
        ]),
    ...(update === null ? [] : [`update    ${updateText(update)}`]),
    ...(channel === null
      ? []
      : [
          `channel   ${channel.name}${channel.lookedAt === null ? '' : `, ${channel.lookedAt}`}: ${channel.detail}`,
        ]),
  ]
}

function standing({ boot }: DeviceStatus['machine']): string {
  if (boot.blessed) return 'blessed'
  return boot.trial ? 'on trial' : 'not blessed yet'
}

function slotRow(slot: SlotState): string[] {
  const { version, counter, triesLeft, doneBytes, totalBytes } = slot
  const part = slot.condition === 'partial' ? ` ${percent(doneBytes ?? 0, totalBytes ?? 0)}` : ''
  return [
    slot.slot,
    slot.running ? 'running' : `${slot.condition}${part}`,
    version === null ? '' : `${version} (release ${counter ?? '?'})`,
    triesLeft === null ? '' : `${triesLeft} tries left`,
  ]
}

function serviceRow({
  name,
  status,
  ready,
  healthy,
  starts,
  crashes,
  required,
  reason,
  note,
}: ServiceReport): string[] {
  const words = [
    ...(ready ? ['ready'] : []),
    ...(healthy === null ? [] : [healthy ? 'healthy' : 'not healthy']),
    ...(required ? [] : ['not required']),
    ...(starts > 1 ? [`started ${starts} times`] : []),
    ...(crashes > 0 ? [`crashed ${crashes} times`] : []),
  ]
  return [name, status, words.join(', '), [reason, note].filter((text) => text !== '').join('; ')]
}

/** How an update stands, in a line. */
export function updateText(update: UpdateState): string {
  const { origin, state, phase, doneBytes, totalBytes, fetchedBytes, release, slot, failure } = update
  const what = release === null ? '' : ` ${release.version} (release ${release.counter})`
  if (state === 'running') return `by ${origin}${what}: ${phase} ${percent(doneBytes, totalBytes)}`
  const end = state === 'installed' ? `installed in ${slot}, ${mebibytes(fetchedBytes)} fetched` : state
  return `by ${origin}${what}: ${end}${failure === null ? '' : ` (${failure.code}): ${failure.message}`}`
}

/** Columns as wide as they need to be, under a heading in the margin. */
function table(heading: string, rows: readonly (readonly string[])[]): string[] {
  const columns = Math.max(0, ...rows.map((row) => row.length))
  const widths = Array.from({ length: columns }, (_, at) =>
    Math.max(...rows.map((row) => (row[at] ?? '').length)),
  )
  return rows.map((row, index) => {
    const cells = row.map((cell, at) => cell.padEnd(widths[at] ?? 0)).join('  ')
    return `${(index === 0 ? heading : '').padEnd(10)}${cells}`.trimEnd()
  })
}

function percent(done: number, total: number): string {
  return `${total === 0 ? 0 : Math.floor((100 * done) / total)} %`
}

/** `12.3 MiB` */
export function mebibytes(bytes: number): string {
  return `${(bytes / 1024 / 1024).toFixed(1)} MiB`
}

/** `3 d 4 h`, `12 min 5 s` */
function duration(ms: number): string {
  const seconds = Math.floor(ms / 1000)
  const [days, hours] = [Math.floor(seconds / 86_400), Math.floor(seconds / 3600) % 24]
  const [minutes, rest] = [Math.floor(seconds / 60) % 60, seconds % 60]
  if (days > 0) return `${days} d ${hours} h`
  return hours > 0 ? `${hours} h ${minutes} min` : `${minutes} min ${rest} s`
}
