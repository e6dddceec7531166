// Asks a time server and prints what it says as JSON: `bun query-time.ts ADDRESS…`.
import { measureTime } from '@pkg/net/sntp'

try {
  console.log(JSON.stringify(await measureTime(process.argv.slice(2), { timeoutMs: 2000 })))
} catch (error) {
  console.log(`failed: ${error instanceof Error ? error.message : String(error)}`)
}
