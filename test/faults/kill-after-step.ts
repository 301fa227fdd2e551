import { readFileSync, rmSync } from 'node:fs'
import { registerHooks } from 'node:module'
import type { Driver } from '../../reconciler/drivers/driver.ts'
import type { Drivers } from '../../reconciler/worker/converge.ts'
import { startWorker as start, type WorkerOptions } from '../../reconciler/worker/worker.ts'

/**
 * `node --import` of this in front of `ballast worker`: the same worker, that kills itself with -9 as soon as its drivers
 * have written so many steps, from the first one on, as the file BALLAST_STEPS_FILE begins with; 0: before that one. Then
 * the file is gone. Without the file it lives.
 */
const FILE = process.env.BALLAST_STEPS_FILE!

registerHooks({
  resolve(specifier, context, next) {
    const isCommand = context.parentURL?.endsWith('/commands/worker.ts') === true
    return isCommand && specifier === '../worker/worker.ts'
      ? { url: import.meta.url, shortCircuit: true }
      : next(specifier, context)
  },
})

export const startWorker = (options: WorkerOptions): ReturnType<typeof start> =>
  start({ ...options, drivers: killing(options.drivers) })

function killing(drivers: Drivers): Drivers {
  let written = 0
  let orders = ''
  let limit = Number.POSITIVE_INFINITY
  const killWhenDue = (): void => {
    const text = readOrders()
    if (text !== orders) limit = text === '' ? Number.POSITIVE_INFINITY : written + Number.parseInt(text, 10)
    orders = text
    if (written < limit) return
    rmSync(FILE)
    process.kill(process.pid, 'SIGKILL')
  }
  const watched = <Row>(driver: Driver<Row>): Driver<Row> => ({
    ...driver,
    async apply(edits, signal) {
      killWhenDue()
      const outcomes = await driver.apply(edits, signal)
      written += 1
      killWhenDue()
      return outcomes
    },
  })
  const { xdp, ipvs, bgp } = drivers
  return {
    ...(xdp && { xdp: watched(xdp) }),
    ...(ipvs && { ipvs: watched(ipvs) }),
    ...(bgp && { bgp: watched(bgp) }),
  }
}

function readOrders(): string {
  try {
    return readFileSync(FILE, 'utf8')
  } catch {
    return ''
  }
}
