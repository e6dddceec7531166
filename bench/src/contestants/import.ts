// The processor time that an import takes in all threads of a fresh process, in nanoseconds. Usage: import.ts SPECIFIER
import process from 'node:process'

const [specifier = ''] = process.argv.slice(2)
const before = process.cpuUsage()
await import(specifier)
const { user, system } = process.cpuUsage(before)
process.stdout.write(`${(user + system) * 1000}\n`)
