/** When two names are the same on FAT, which keeps case and ignores it. */

/**
 * Equal for names that FAT takes for the same: each unit of UTF-16 as a capital and small again, where that is one unit
 * too. Linux, EDK2 and Windows each have tables of their own, which differ outside of ASCII; this makes equal what any
 * of them may.
 */
export function comparable(name: string): string {
  let key = ''
  for (let index = 0; index < name.length; index++) {
    const unit = name.charAt(index)
    const capital = single(unit, unit.toUpperCase())
    key += single(capital, capital.toLowerCase())
  }
  return key
}

function single(unit: string, changed: string): string {
  return changed.length === 1 ? changed : unit
}
