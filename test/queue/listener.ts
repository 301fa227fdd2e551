import { connectRedis } from '../../reconciler/queue/connection.ts'
import { listenForWakes } from '../../reconciler/queue/wake.ts'

/** A worker's process, for tests that kill it: says each wake-up, and works on it for as long as it is told. */
const [socket = '', node = '', workMs = '0'] = process.argv.slice(2)

await listenForWakes({
  connection: connectRedis({ socket }),
  node,
  onWake: async generation => {
    console.log(`began ${generation}`)
    await new Promise(resolve => setTimeout(resolve, Number(workMs)))
    console.log(`ended ${generation}`)
  },
})
console.log('listening')
