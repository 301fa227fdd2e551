import { Command } from 'commander'
import { ALERT_VERSION, type Alert, type Notification } from '../../schemas/alert.ts'
import { asBallastError } from '../../schemas/ballast-error.ts'
import { DRIFT_RECORD_VERSION, type DriftRecord } from '../../schemas/drift-record.ts'
import { openSenders } from './open-drift-alerts.ts'
import { addSettings, readSettings } from './options.ts'
import { CommandFailure } from './outcome.ts'
import { printJson } from './print.ts'

export const alertsCommand = (): Command =>
  new Command('alerts').description('The receivers of alerts.').addCommand(
    addSettings(new Command('test'), ['alerts'])
      .description('Tell receivers of drift that is none: an alert that fires, and its end.')
      .argument('[receiver...]', 'by name; all when left out')
      .option('--json', 'print one JSON value: [{receiver, taken, code, message, hint}]')
      .addHelpText(
        'after',
        '\nThe receivers are in the file of --config (alerts). A command that is a receiver is run.\n\nExit codes: 0 all took it, 1 one did not.',
      )
      .action(async (names: string[], { json }: { json?: boolean }, command: Command) => {
        const results = await tryReceivers(names, command)
        if (json === true) printJson(results)
        else process.stdout.write(results.map(render).join(''))
        process.exitCode = results.every(({ taken }) => taken) ? 0 : 1
      }),
  )

interface Result {
  readonly receiver: string
  readonly taken: boolean
  readonly code?: string
  readonly message?: string
  readonly hint?: string
}

async function tryReceivers(names: readonly string[], command: Command): Promise<Result[]> {
  const { alerts } = readSettings(command, ['alerts'])
  if (alerts === undefined || alerts.receivers.length === 0) {
    throw new CommandFailure('There are no receivers: name them in the file of --config, as alerts.')
  }
  const senders = openSenders(alerts)
  const unknown = names.find(name => !senders.has(name))
  if (unknown !== undefined) {
    throw new CommandFailure(`There is no receiver ${unknown}. There are ${[...senders.keys()].join(', ')}.`)
  }
  const results: Result[] = []
  for (const receiver of names.length > 0 ? names : senders.keys()) {
    try {
      for (const notification of composeTest(receiver, Date.now())) {
        await senders.get(receiver)!.send(notification)
      }
      results.push({ receiver, taken: true })
    } catch (error) {
      const { code, message, hint } = asBallastError(error)
      results.push({ receiver, taken: false, code, message, hint })
    }
  }
  return results
}

const render = ({ receiver, taken, code, message, hint }: Result): string =>
  taken ? `${receiver}  took it\n` : `${receiver}  did not take it: ${code}: ${message}. ${hint}\n`

/** One that fires and one that ends. */
function composeTest(receiver: string, now: number): Notification[] {
  const fires: DriftRecord = {
    version: DRIFT_RECORD_VERSION,
    node: 'test',
    driver: 'test',
    key: 'ballast/alerts-test',
    kind: 'changed',
    service: null,
    revision: null,
    desired: { test: 'nothing is wrong' },
    observed: { test: 'somebody ran: ballast alerts test' },
    since: now,
    healedAt: null,
    effect: { share: 0, text: 'a test, no flows' },
  }
  const alert = (status: Alert['status'], count: number, record: DriftRecord): Notification => ({
    version: ALERT_VERSION,
    receiver,
    at: now,
    alerts: [
      { status, severity: 'none', summary: `a test of ballast alerts, ${status}`, count, first: now, record },
    ],
  })
  return [alert('firing', 1, fires), alert('passed', 0, { ...fires, healedAt: now + 1 })]
}
