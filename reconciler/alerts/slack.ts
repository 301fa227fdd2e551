import type { Alert } from '../../schemas/alert.ts'
import type { AlertReceiver } from '../../schemas/drift-settings.ts'
import { differingFields } from '../drift/describe-drift.ts'
import { postJson, readAlertSecret, unreadable } from './post.ts'
import type { Sender } from './sender.ts'

const MARKS = {
  firing: ':red_circle:',
  resolved: ':large_green_circle:',
  passed: ':large_yellow_circle:',
} as const
/** Told with all that differs. */
const SHOWN = 10
const LONGEST_FIELD = 400

/** An incoming webhook, as Slack, Mattermost, Rocket.Chat and others take it: `{"text": …}`. */
export const createSlackSender = ({ urlFile }: Extract<AlertReceiver, { type: 'slack' }>): Sender => ({
  async send({ alerts }) {
    const text = alerts.map((alert, index) => render(alert, index < SHOWN)).join('\n')
    await postJson(await readAddress(urlFile), JSON.stringify({ text }), {})
  },
})

/** Throws `SECRET_UNREADABLE`, and never says what the file holds. */
async function readAddress(file: string): Promise<string> {
  const text = await readAlertSecret(file)
  const url = URL.parse(text)
  const isPlain = url !== null && /^https?:$/.test(url.protocol) && url.username + url.password === ''
  if (!isPlain) throw unreadable(file, 'it holds no address that begins with https:// or http://')
  return text
}

function render({ status, summary, record }: Alert, withFields: boolean): string {
  const lines = [`${MARKS[status]} ${mask(summary)}`]
  if (!withFields) return lines.join('\n')
  for (const [field, desired, observed] of differingFields(record)) {
    lines.push(`> ${mask(field)}: wanted \`${shorten(desired)}\`, found \`${shorten(observed)}\``)
  }
  return lines.join('\n')
}

/** Of Slack's mark-up: what a node reports must not ring everybody. */
const mask = (text: string): string =>
  text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')

const shorten = (text: string): string => {
  const plain = mask(text.replaceAll('`', "'"))
  return plain.length > LONGEST_FIELD ? `${plain.slice(0, LONGEST_FIELD)}…` : plain
}
