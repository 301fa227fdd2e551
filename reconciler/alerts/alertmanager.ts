import type { Alert } from '../../schemas/alert.ts'
import type { DriftRecord } from '../../schemas/drift-record.ts'
import type { AlertReceiver } from '../../schemas/drift-settings.ts'
import { describeDrift, describeHold, differingFields } from '../drift/describe-drift.ts'
import { renderTime } from '../drift/drift-file.ts'
import { postJson, readAlertSecret, unreadable } from './post.ts'
import type { Sender } from './sender.ts'

/** What passed before it was told fires for so long, ms: Alertmanager tells nobody of what has ended already. */
const PASSED_FIRES_MS = 120_000

/** Alertmanager, API v2: POST /api/v2/alerts. Grouping, silences and routes are its own. */
export function createAlertmanagerSender(receiver: Extract<AlertReceiver, { type: 'alertmanager' }>): Sender {
  const url = `${receiver.url.replace(/\/+$/, '')}/api/v2/alerts`

  async function post(alerts: readonly PostableAlert[]): Promise<void> {
    const { tokenFile } = receiver
    const authorization =
      tokenFile === undefined ? {} : { authorization: `Bearer ${await readToken(tokenFile)}` }
    await postJson(url, JSON.stringify(alerts), authorization)
  }

  return {
    send: ({ alerts, at }) => post(alerts.map(alert => toPostable(alert, at))),
    async remind(firing) {
      await post(
        firing.map(({ record, severity }) => postable(record, severity, describeDrift(record), null)),
      )
    },
  }
}

/** RFC 6750. Throws `SECRET_UNREADABLE`, and never says what the file holds. */
async function readToken(file: string): Promise<string> {
  const token = await readAlertSecret(file)
  if (!/^[\x21-\x7e]+$/.test(token))
    throw unreadable(file, 'it holds no bearer token, which is one word of ASCII')
  return token
}

interface PostableAlert {
  readonly labels: Readonly<Record<string, string>>
  readonly annotations: Readonly<Record<string, string>>
  /** RFC 3339. */
  readonly startsAt: string
  readonly endsAt?: string
}

function toPostable({ record, severity, summary, status }: Alert, at: number): PostableAlert {
  const ends = { firing: null, resolved: record.healedAt, passed: at + PASSED_FIRES_MS }
  return postable(record, severity, summary, ends[status])
}

/** The labels alone say which alert it is: they must not change while it fires. */
function postable(
  record: DriftRecord,
  severity: string,
  summary: string,
  endsAt: number | null,
): PostableAlert {
  const hold = describeHold(record)
  const differences = differingFields(record).map(
    ([field, desired, observed]) => `${field}: wanted ${desired}, found ${observed}`,
  )
  return {
    labels: {
      alertname: 'BallastDrift',
      node: record.node,
      driver: record.driver,
      key: record.key,
      kind: record.kind,
      ...(record.service !== null && { service: record.service }),
      severity,
    },
    annotations: {
      summary,
      description: [...differences, ...(hold === null ? [] : [hold])].join('\n'),
      effect: record.effect.text,
      ...(record.revision !== null && { revision: record.revision }),
    },
    startsAt: renderTime(record.since),
    ...(endsAt !== null && { endsAt: renderTime(endsAt) }),
  }
}
