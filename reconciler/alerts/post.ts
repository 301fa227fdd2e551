import { readFile } from 'node:fs/promises'
import pRetry, { AbortError } from 'p-retry'
import { BallastError } from '../../schemas/ballast-error.ts'

const ANSWER_MS = 10_000
/** Characters of an answer that are told. */
const SAID = 200
/** Whoever is away for longer is told later. */
const RETRIES = { retries: 2, minTimeout: 300, maxTimeout: 2_000 }

/** Sends JSON; follows no redirect. Throws `ALERT_REFUSED` (4xx: it is of no use to send the same again soon), `ALERT_NOT_SENT`. */
export async function postJson(
  url: string,
  body: string,
  headers: Readonly<Record<string, string>>,
): Promise<void> {
  const { host } = new URL(url)
  await pRetry(async () => {
    const response = await fetch(url, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'user-agent': 'ballast', ...headers },
      body,
      redirect: 'manual',
      signal: AbortSignal.timeout(ANSWER_MS),
    }).catch((cause: Error) => {
      const why = (cause.cause as Error | undefined)?.message ?? cause.message
      throw notSent(`${host} cannot be reached: ${why}`, cause)
    })
    const said = await readStart(response).catch(() => '')
    if (response.ok) return
    const message = `${host} answers with status ${response.status}${said === '' ? '' : `: ${said}`}`
    const isLater = response.status >= 500 || response.status === 429 || response.status === 408
    if (isLater) throw notSent(message)
    throw new AbortError(refused(message))
  }, RETRIES)
}

/** At most the first `SAID` characters of the answer; the rest is not waited for. */
async function readStart(response: Response): Promise<string> {
  let text = ''
  for await (const chunk of response.body?.pipeThrough(new TextDecoderStream()) ?? []) {
    text += chunk
    if (text.length >= SAID) break
  }
  return text.slice(0, SAID)
}

const notSent = (message: string, cause?: unknown): BallastError =>
  new BallastError({ code: 'ALERT_NOT_SENT', message, hint: 'It is tried again.', retryable: true, cause })

const refused = (message: string): BallastError =>
  new BallastError({
    code: 'ALERT_REFUSED',
    message,
    hint: 'Compare its address and secret with the settings; `ballast alerts test` tries it. It is tried again.',
    retryable: true,
  })

/** Read anew each time, so that it can be changed under way. Throws `SECRET_UNREADABLE`. */
export async function readAlertSecret(file: string): Promise<string> {
  const text = await readFile(file, 'utf8').catch((cause: Error) => {
    throw unreadable(file, cause.message)
  })
  const secret = text.trim()
  if (secret === '') throw unreadable(file, 'it is empty')
  return secret
}

export const unreadable = (file: string, why: string): BallastError =>
  new BallastError({
    code: 'SECRET_UNREADABLE',
    message: `${file} cannot be used: ${why}`,
    hint: 'The file must be readable by the user that Ballast runs as; it is read again at every try.',
    retryable: true,
  })
