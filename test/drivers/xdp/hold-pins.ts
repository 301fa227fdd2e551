import { setTimeout as delay } from 'node:timers/promises'
import { openPin } from '../../../reconciler/drivers/xdp/libbpf/pins.ts'

/** `node hold-pins.ts PIN…`: a process that holds what is pinned there, for a minute. */
const held = process.argv.slice(2).map(openPin)
console.log('holds')
await delay(60_000)
for (const each of held) each?.close()
