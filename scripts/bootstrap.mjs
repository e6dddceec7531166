#!/usr/bin/env node
/**
 * `npm start`, `npm test`, `npm run solo` and `npm run bench` come through here: on a machine that has
 * only Node, npm and apt, this sets up what the command needs, then runs it.
 *
 * Plain JavaScript without dependencies, because nothing is installed yet when it runs. The parts lie in
 * `bootstrap/` and are loaded only after the version check, so that an old Node gets a sentence and not
 * a syntax error.
 */
const oldestNode = 20
const nodeVersion = Number(process.versions.node.split('.')[0])

if (nodeVersion < oldestNode) {
  process.stderr.write(
    `solo: Node ${process.versions.node} is too old: Node ${oldestNode} or newer is needed.\n` +
      `solo: install a newer one (for example with your distribution's nodejs package or nvm) and run this again.\n`,
  )
  process.exitCode = 1
} else {
  const { main } = await import('./bootstrap/main.mjs')
  process.exitCode = await main(process.argv.slice(2))
}
