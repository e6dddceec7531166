// Numbers as people read them.

const sizeUnits = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'] as const

/** `12.3 MiB`; a dash for null. */
export function formatBytes(bytes: number | null): string {
  if (bytes === null) return '—'
  let [value, unit] = [bytes, 0]
  // 1023.95 would be shown as 1024.0 of the smaller unit.
  while (value >= 1023.95 && unit < sizeUnits.length - 1) [value, unit] = [value / 1024, unit + 1]
  return `${value.toFixed(unit === 0 || value >= 99.95 ? 0 : 1)} ${sizeUnits[unit]}`
}

/** `3 d 4 h`, `12 min 5 s`: the two largest units. */
export function formatDuration(seconds: number): string {
  const units = [
    ['d', Math.floor(seconds / 86_400)],
    ['h', Math.floor(seconds / 3600) % 24],
    ['min', Math.floor(seconds / 60) % 60],
    ['s', Math.floor(seconds) % 60],
  ] as const
  const largest = units.findIndex(([, count]) => count > 0)
  if (largest < 0) return '0 s'
  return units
    .slice(largest, largest + 2)
    .map(([unit, count]) => `${count} ${unit}`)
    .join(' ')
}
