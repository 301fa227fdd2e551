import { styleText } from 'node:util'
import type { DemoResult } from '../../schemas/lab.ts'
import type { DemoContext } from './demo-context.ts'
import { renderMeasures } from './demo-report.ts'
import { DEMO_STEPS, type DemoStep } from './demo-steps.ts'
import { labDown, removeOrphans } from './lab.ts'
import { failuresOf } from './measure-traffic.ts'

export interface DemoOptions {
  /** Where people read; with `--json` not the standard output. */
  readonly progress: NodeJS.WritableStream
  readonly color: boolean
}

type StepResult = DemoResult['steps'][number]

/**
 * Runs the main job on a lab of its own, from `git push` to packets, and takes the lab down again: after the
 * last step, after one that failed, and on SIGINT or SIGTERM. Never rejects for what a step met.
 */
export async function runDemo({ progress, color }: DemoOptions): Promise<DemoResult> {
  const stop = new AbortController()
  const onSignal = (signal: NodeJS.Signals): void => stop.abort(new Error(`stopped by ${signal}`))
  process.on('SIGINT', onSignal)
  process.on('SIGTERM', onSignal)
  const paint = (style: Parameters<typeof styleText>[0], text: string): string =>
    color ? styleText(style, text, { validateStream: false }) : text
  const context: DemoContext = {
    labName: `demo-${process.pid}`,
    signal: stop.signal,
    say: text => progress.write(`${text.trimEnd().replaceAll(/^(?=.)/gm, '   ')}\n`),
    measured: {
      pushToApplied: null,
      pushToTraffic: null,
      pushToRefused: null,
      pushToRoute: null,
      deathToRoute: null,
      workerBack: null,
      driftUndone: null,
    },
  }

  const steps: StepResult[] = []
  let fault: string | undefined
  const run = async ({ name, title, run }: DemoStep): Promise<void> => {
    progress.write(`\n${paint('bold', `${steps.length + 1}. ${title}`)}\n`)
    const start = performance.now()
    let ok = true
    try {
      await run(context)
    } catch (error) {
      ok = false
      fault ??= describe(error)
    }
    const ms = Math.round(performance.now() - start)
    steps.push({ name, ok, ms })
    progress.write(
      `   ${ok ? paint('green', 'done') : paint('red', `failed: ${fault}`)} ${paint('dim', `${ms} ms`)}\n`,
    )
  }

  await removeOrphans()
  for (const step of DEMO_STEPS) {
    if (fault === undefined) await run(step)
  }
  if (fault !== undefined && !stop.signal.aborted) showLog(context, progress)
  const alive = context.held?.alive() ?? false
  await run({ name: 'clean up', title: 'Everything is taken down', run: cleanUp })
  process.off('SIGINT', onSignal)
  process.off('SIGTERM', onSignal)

  const failures = failuresOf(context.load?.events ?? [])
  const [failure] = failures
  if (failure !== undefined) fault ??= `a request to ${failure.target} failed: ${failure.reason}`
  const result: DemoResult = {
    ok: fault === undefined,
    steps,
    push_to_applied_ms: context.measured.pushToApplied,
    push_to_traffic_ms: context.measured.pushToTraffic,
    requests: context.load?.events.length ?? 0,
    failed_requests: failures.length,
    long_connection_survived: alive,
    ...(fault !== undefined && { error: fault }),
  }
  progress.write(`\n${renderMeasures(context, result)}\n`)
  if (fault !== undefined) progress.write(`${paint('red', `The demo failed: ${fault}`)}\n`)
  return result
}

async function cleanUp({ load, held, control, labName }: DemoContext): Promise<void> {
  await load?.stop()
  await held?.stop()
  await control?.stop()
  await labDown(labName)
}

/** What the processes complained of, for whoever looks into a failure. */
function showLog({ control }: DemoContext, progress: NodeJS.WritableStream): void {
  const lines = control?.events.slice(-30) ?? []
  if (lines.length === 0) return
  progress.write(`\nThe last that the processes said:\n`)
  for (const { process: name, ...event } of lines) progress.write(`   ${name}: ${JSON.stringify(event)}\n`)
}

const describe = (error: unknown): string => {
  const { message, hint } = error as Error & { hint?: string }
  return hint === undefined ? message : `${message}. ${hint}`
}
