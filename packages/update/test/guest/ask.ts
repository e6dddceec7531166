// A client of the updater in a guest: asks one thing, and prints the answer.
import { installFromStick, slotStates } from '../../src/updater-client.ts'

const answer = await (process.argv[2] === 'stick' ? installFromStick() : slotStates()).catch(
  (error: unknown) => {
    return { error: String(error) }
  },
)
process.stdout.write(JSON.stringify(answer))
