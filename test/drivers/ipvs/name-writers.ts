import { once } from 'node:events'
import { setTimeout as delay } from 'node:timers/promises'
import { openAddressWriters } from '../../../reconciler/drivers/ipvs/address-writers.ts'
import { runCommand, startProgram } from '../../../reconciler/process/run-command.ts'

/** Run in a network namespace of its own: prints who is named of what somebody does there with addresses, as JSON. */

const VIPS = ['203.0.113.7', '2001:db8::7']
const writers = openAddressWriters()
const rowOf = (vip: string) => ({ driver: 'ipvs', key: `vip/${vip}` }) as const

// One that stays, as a daemon does.
const batch = await startProgram('ip', ['-batch', '-'], { stdin: 'pipe', stdout: 'pipe' })
for (const vip of VIPS) batch.stdin?.write(`addr add ${vip} dev lo\n`)
batch.stdin?.write('addr show dev lo\n')
await once(batch.stdout!, 'data')
writers.look()
const added = await Promise.all(VIPS.map(vip => writers.find({ ...rowOf(vip), kind: 'unexpected' })))
const notRemoved = await writers.find({ ...rowOf(VIPS[0]!), kind: 'missing' })

// One that ends before anybody looks.
const brief = await startProgram('ip', ['addr', 'del', `${VIPS[0]}/32`, 'dev', 'lo'])
await brief.exited
await delay(10)
const removed = await writers.find({ ...rowOf(VIPS[0]!), kind: 'missing' })

// By the kernel, which takes the address with its link.
await runCommand('ip', ['link', 'add', 'gone', 'type', 'veth'])
await runCommand('ip', ['addr', 'add', '203.0.113.8', 'dev', 'gone'])
await runCommand('ip', ['link', 'del', 'gone'])
const byKernel = await writers.find({ ...rowOf('203.0.113.8'), kind: 'missing' })
writers.close()
process.stdout.write(
  JSON.stringify({ batch: batch.pid, added, notRemoved, ended: brief.pid, removed, byKernel }),
)
await batch.stop()
