import Table from 'cli-table3'
import type { DemoResult } from '../../schemas/lab.ts'
import type { DemoContext } from './demo-context.ts'
import { longestSilence, responsesOf } from './measure-traffic.ts'

/** The table at the end of the demo. */
export function renderMeasures({ measured, load, held }: DemoContext, result: DemoResult): string {
  const times = responsesOf(load?.events ?? [])
    .map(({ ms }) => ms)
    .sort((a, b) => a - b)
  const silence = held === undefined ? null : longestSilence(held.events)
  const fate = held === undefined ? '–' : result.long_connection_survived ? 'survived' : 'lost'
  const table = new Table({
    head: ['measured', ''],
    colAligns: ['left', 'right'],
    style: { head: [], border: [], compact: true },
  })
  table.push(
    ['git push → applied on every load balancer', renderMs(measured.pushToApplied)],
    ['git push → first connection to the added backend', renderMs(measured.pushToTraffic)],
    ['git push of a broken manifest → refused', renderMs(measured.pushToRefused)],
    ['git push → the router leads over both again', renderMs(measured.pushToRoute)],
    ['load balancer dead → the router leads past it', renderMs(measured.deathToRoute)],
    ['worker started again → found nothing to do', renderMs(measured.workerBack)],
    ['maps changed by hand → undone', renderMs(measured.driftUndone)],
    ['requests, each on a connection of its own', result.requests],
    ['requests that failed', result.failed_requests],
    ['request time, median', renderMs(times[Math.floor(times.length / 2)] ?? null)],
    ['request time, longest', renderMs(times.at(-1) ?? null)],
    ['long-lived connection', fate],
    ['its longest time between two echoes', renderMs(silence)],
  )
  return table.toString()
}

const renderMs = (ms: number | null): string =>
  ms === null ? '–' : `${ms < 10 ? ms.toFixed(1) : Math.round(ms)} ms`
