import { writeFileSync } from 'node:fs'
import { watchTurns } from './watch-turns.ts'

/**
 * `node --import watch-process.ts PROGRAM`: writes the turns of the program's event loop, as JSON, to the file that BALLAST_TURNS
 * names when it ends; times since the epoch.
 */
const file = process.env.BALLAST_TURNS
if (file !== undefined) {
  const turns = watchTurns()
  const { timeOrigin } = performance
  process.on('exit', () => {
    const taken = turns.take().map(turn => ({
      ...turn,
      from: timeOrigin + turn.from,
      to: timeOrigin + turn.to,
    }))
    writeFileSync(file, JSON.stringify(taken))
  })
}
