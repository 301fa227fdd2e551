import assert from 'node:assert/strict'
import { createHmac } from 'node:crypto'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { createSender } from '../../reconciler/alerts/sender.ts'
import { ALERT_VERSION, type Alert, Notification } from '../../schemas/alert.ts'
import type { BallastError } from '../../schemas/ballast-error.ts'
import type { DriftRecord } from '../../schemas/drift-record.ts'
import { recordOf } from '../drift/drift-records.ts'
import { until } from '../repo/follow.ts'
import { temporaryFolder } from '../repo/make-repository.ts'
import { ALERTMANAGER, listen, startAlertmanager } from './alertmanager.ts'

const notify = (status: Alert['status'], record: DriftRecord, at = Date.now()): Notification => ({
  version: ALERT_VERSION,
  receiver: 'ops',
  at,
  alerts: [{ status, severity: 'page', summary: 'lb-2 lost <it>', count: 1, first: record.since, record }],
})

test('Alertmanager tells of what fires, of its end, and of what passed', {
  skip: !existsSync(ALERTMANAGER),
}, async t => {
  const people = await listen(t)
  const url = await startAlertmanager(t, people.url)
  const sender = createSender({ type: 'alertmanager', name: 'ops', url: `${url}/` })
  const since = Date.now() - 2000
  const told = () =>
    people.requests.flatMap(
      ({ body }) =>
        (
          JSON.parse(body) as {
            alerts: { status: string; labels: Record<string, string>; annotations: Record<string, string> }[]
          }
        ).alerts,
    )
  await sender.send(notify('firing', recordOf({ since })))
  await until('it fires', () => told().some(({ status }) => status === 'firing'))
  const [fires] = told()
  assert.deepEqual(fires?.labels, {
    alertname: 'BallastDrift',
    driver: 'xdp',
    key: 'service/203.0.113.10:80/tcp',
    kind: 'changed',
    node: 'lb-2',
    service: 'web',
    severity: 'page',
  })
  assert.match(fires?.annotations.description ?? '', /backends: wanted .*10\.0\.1\.13.*, found /)
  await sender.remind?.([{ record: recordOf({ since }), severity: 'page' }])
  await sender.send(notify('resolved', recordOf({ since, healedAt: Date.now() })))
  await until('it is resolved', () => told().some(({ status }) => status === 'resolved'))
  await sender.send(notify('passed', recordOf({ key: 'settings', since, healedAt: since + 10 })))
  await until('what passed is told', () => told().some(({ labels }) => labels.key === 'settings'))
  const alerts = (await (await fetch(`${url}/api/v2/alerts`)).json()) as unknown[]
  assert.equal(alerts.length, 1)
})

test('a webhook gets the notification, signed', async t => {
  const receiver = await listen(t)
  const secretFile = join(temporaryFolder(t), 'secret')
  writeFileSync(secretFile, 'between us\n')
  const sender = createSender({ type: 'webhook', name: 'hook', url: receiver.url, secretFile })
  const notification = notify('firing', recordOf(), 1_700_000_000_500)
  await sender.send(notification)
  const [{ headers, body }] = receiver.requests as [(typeof receiver.requests)[number]]
  assert.deepEqual(Notification.parse(JSON.parse(body)), notification)
  const hex = createHmac('sha256', 'between us').update(`1700000000.${body}`).digest('hex')
  assert.equal(headers['x-ballast-timestamp'], '1700000000')
  assert.equal(headers['x-ballast-signature-256'], `sha256=${hex}`)
})

test('a chat gets one text, in which nothing that a node says is mark-up', async t => {
  const receiver = await listen(t)
  const urlFile = join(temporaryFolder(t), 'url')
  writeFileSync(urlFile, `${receiver.url}/services/T0/B0/secret\n`)
  await createSender({ type: 'slack', name: 'chat', urlFile }).send(
    notify('firing', recordOf({ observed: '<!channel>' })),
  )
  const { text } = JSON.parse(receiver.requests[0]!.body) as { text: string }
  assert.match(text, /^:red_circle: lb-2 lost &lt;it&gt;\n/)
  assert.doesNotMatch(text, /<!channel>/)
})

test('a command gets the notification on its standard input, and says by its exit whether it took it', async t => {
  const file = join(temporaryFolder(t), 'got')
  const command = (script: string) => ['sh', '-c', script, 'page', file]
  const notification = notify('firing', recordOf())
  await createSender({ type: 'command', name: 'page', command: command('cat > "$1"') }).send(notification)
  assert.deepEqual(JSON.parse(readFileSync(file, 'utf8')), notification)
  await assert.rejects(
    createSender({ type: 'command', name: 'page', command: command('echo no >&2; exit 3') }).send(
      notification,
    ),
    { code: 'ALERT_NOT_SENT', message: /ended with 3: no/ },
  )
})

test('one that is down, that refuses and that has no secret says which', async t => {
  const receiver = await listen(t)
  const send = (url: string, secretFile?: string) =>
    createSender({
      type: 'webhook',
      name: 'hook',
      url,
      ...(secretFile !== undefined && { secretFile }),
    }).send(notify('firing', recordOf()))
  await assert.rejects(send('http://127.0.0.1:1'), { code: 'ALERT_NOT_SENT', message: /cannot be reached/ })
  receiver.status = 403
  await assert.rejects(send(receiver.url), {
    code: 'ALERT_REFUSED',
    message: /status 403: said by the receiver/,
  })
  receiver.status = 503
  await assert.rejects(send(receiver.url), { code: 'ALERT_NOT_SENT' })
  await assert.rejects(send(receiver.url, '/nonexistent'), { code: 'SECRET_UNREADABLE' })
})

test('a secret that cannot be used is not said', async t => {
  const file = join(temporaryFolder(t), 'secret')
  const slack = createSender({ type: 'slack', name: 'chat', urlFile: file })
  const alertmanager = createSender({
    ...{ type: 'alertmanager', name: 'ops', url: 'http://127.0.0.1:1', tokenFile: file },
  })
  for (const [sender, secret] of [
    [slack, 'hooks.example.org/hidden'],
    [slack, 'ftp://hooks.example.org/hidden'],
    [slack, 'https://me:hidden@127.0.0.1:1/'],
    [alertmanager, 'hidden\nhidden'],
    [alertmanager, 'hiddené'],
  ] as const) {
    writeFileSync(file, `${secret}\n`)
    await assert.rejects(sender.send(notify('firing', recordOf())), (error: BallastError) => {
      assert.equal(error.code, 'SECRET_UNREADABLE', secret)
      assert.doesNotMatch(`${error.message} ${error.hint}`, /hidden/)
      return true
    })
  }
})
