import assert from 'node:assert/strict'
import { resolve } from 'node:path'
import { suite, test } from 'node:test'
import { openPin } from '../../../reconciler/drivers/xdp/libbpf/pins.ts'
import { runProgram } from '../../../reconciler/drivers/xdp/libbpf/test-run.ts'
import { startTrace } from '../../../reconciler/drivers/xdp/trace/trace.ts'
import type { TraceEvent, TraceFilter } from '../../../reconciler/drivers/xdp/trace/trace-layout.ts'
import { startProgram } from '../../../reconciler/process/run-command.ts'
import { buildFrame, ETHERNET_BYTES, type PacketFields, Tcp, wrapTransport } from '../../bpf/packet.ts'
import { converge } from '../contract.ts'
import { backendsOf, serviceRow, settingsRow, tableOf } from '../xdp-tables.ts'
import { makeXdpLab, needsRoot } from './lab.ts'

const CLI = resolve(import.meta.dirname, '../../../reconciler/cli.ts')
const NODE = 'lb-1.example'

const web: PacketFields = {
  source: '198.51.100.7',
  sourcePort: 40_000,
  vip: '203.0.113.1',
  port: 80,
  protocol: 'tcp',
  tcpFlags: Tcp.syn,
}
const web6: PacketFields = { ...web, source: '2001:db8:1::7', vip: '2001:db8:f::1' }
const SETTINGS = settingsRow({ sources: { ipv4: '10.64.0.1/32', ipv6: '2001:db8:64::1/128' } })
const TABLE = tableOf(
  SETTINGS,
  serviceRow({ backends: backendsOf('10.0.0.1') }),
  serviceRow({
    vip: '2001:db8:f::1',
    encapsulation: 'gue',
    gue: { variant: 0, port: 6080 },
    backends: backendsOf('2001:db8::1'),
  }),
)

suite('tracing a node', { skip: needsRoot }, async () => {
  const lab = await makeXdpLab()
  const send = (frame: Uint8Array): void => {
    using program = openPin(lab.pins().program)
    runProgram(program!.fd, frame)
  }
  const options = (filter: TraceFilter, events: TraceEvent[], rate = 100) => ({
    bpffs: lab.bpffs,
    node: NODE,
    filter,
    rate,
    take: (event: TraceEvent) => void events.push(event),
    now: process.hrtime.bigint,
  })
  /** What is told of these frames. */
  function trace(filter: TraceFilter, frames: readonly Uint8Array[], rate?: number): TraceEvent[] {
    const events: TraceEvent[] = []
    using running = startTrace(options(filter, events, rate))
    for (const frame of frames) send(frame)
    assert.ok(running.look())
    assert.equal(running.lost(), 0)
    return events
  }
  const briefly = ({ reason, action, source, sourcePort, vip, port, backend }: TraceEvent) =>
    [reason, action, `${source} ${sourcePort}`, `${vip} ${port}`, backend] as const

  test('says of every packet who sent it where, what became of it and why', async () => {
    await converge(lab.open(), TABLE)
    const frames = [
      buildFrame(web),
      buildFrame({ ...web6, payload: Buffer.alloc(100) }),
      buildFrame({ ...web, port: 81 }),
      buildFrame({ ...web, vip: '192.0.2.1' }),
      buildFrame({ ...web, payload: Buffer.alloc(1460) }),
      wrapTransport(
        { source: web.source, vip: web.vip },
        1,
        Buffer.from(`0800f7ff00000000${'00'.repeat(40)}`, 'hex'),
      ),
      Buffer.concat([buildFrame(web).subarray(0, 12), Buffer.from('0806', 'hex'), Buffer.alloc(46)]),
    ]
    const events = trace({}, frames)
    const client = `${web.source} 40000`
    assert.deepEqual(events.map(briefly), [
      ['forwarded_ring', 'tx', client, '203.0.113.1 80', '10.0.0.1'],
      ['forwarded_ring', 'tx', '2001:db8:1::7 40000', '2001:db8:f::1 80', '2001:db8::1'],
      ['drop_unmatched', 'drop', client, '203.0.113.1 81', null],
      ['pass_not_vip', 'pass', client, '192.0.2.1 80', null],
      ['answered_too_big', 'tx', client, '203.0.113.1 80', null],
      ['answered_echo', 'tx', `${web.source} null`, '203.0.113.1 null', null],
      ['pass_not_ip', 'pass', 'null null', 'null null', null],
    ])
    assert.deepEqual(
      events.slice(0, 2).map(({ protocol, length, interface: index }) => [protocol, length, index]),
      frames.slice(0, 2).map(frame => ['tcp', frame.length - ETHERNET_BYTES, 1]),
    )
  })

  test('tells of those asked for alone, at most as many as asked for, and of none afterwards', async () => {
    const frames = [web, web6, { ...web, port: 81 }, { ...web, protocol: 'udp' as const }].map(buildFrame)
    const found = (filter: TraceFilter) =>
      trace(filter, frames).map(({ vip, port, protocol }) => [vip, port, protocol])
    assert.deepEqual(found({ vip: web6.vip }), [[web6.vip, 80, 'tcp']])
    assert.deepEqual(found({ vip: web.vip, port: 80, protocol: 'tcp' }), [[web.vip, 80, 'tcp']])
    assert.deepEqual(found({ vip: web.vip, port: 81, endPort: 90 }), [[web.vip, 81, 'tcp']])
    assert.deepEqual(found({ vip: web.vip, protocol: 'udp' }), [[web.vip, 80, 'udp']])
    assert.equal(found({ reasons: ['drop_unmatched'] }).length, 2)
    assert.deepEqual(found({ reasons: [] }), [])

    const many: TraceEvent[] = []
    const running = startTrace(options({}, many, 5))
    let sent = 0
    // The traces before may have used up what this tick has.
    for (; many.length === 0 && sent < 200_000; sent += 500) {
      for (let i = 0; i < 500; i++) send(frames[0]!)
      running.look()
    }
    running[Symbol.dispose]()
    assert.ok(many.length > 0 && many.length <= sent / 10, `${many.length} events of ${sent}`)
    send(buildFrame(web))
    assert.deepEqual(trace({}, []), [])
  })

  test('one runs at a time', () => {
    using _ = startTrace(options({}, []))
    assert.throws(() => startTrace(options({}, [])), { code: 'TRACE_BUSY' })
  })

  test('ends when the program is replaced, and says so', async () => {
    using running = startTrace(options({}, []))
    await converge(lab.open(), { ...TABLE, settings: { ...SETTINGS, mtu: 1400 } })
    assert.equal(running.look(), false)
  })

  test('the command prints what comes, until it has as many as asked for', async () => {
    await converge(lab.open(), TABLE)
    for (const json of [true, false]) {
      const flags = [
        '--node',
        NODE,
        '--bpffs',
        lab.bpffs,
        '--reason',
        'drop',
        '--count',
        '3',
        '--seconds',
        '20',
      ]
      const program = await startProgram(
        process.execPath,
        [CLI, 'trace', ...flags, ...(json ? ['--json'] : [])],
        {
          stdout: 'pipe',
          stderr: 'inherit',
        },
      )
      let text = ''
      program.stdout!.on('data', chunk => {
        text += chunk
      })
      const timer = setInterval(() => {
        send(buildFrame(web))
        send(buildFrame({ ...web, port: 81 }))
      }, 20)
      const { exitCode } = await program.exited
      clearInterval(timer)
      assert.equal(exitCode, 0)
      if (json) {
        const { events, lost } = JSON.parse(text)
        assert.deepEqual(
          [events.length, events[0].reason, events[0].port, lost],
          [3, 'drop_unmatched', 81, 0],
        )
        assert.match(events[0].at, /^\d{4}-\d\d-\d\dT/)
      } else {
        assert.equal(
          text.match(/tcp +198\.51\.100\.7:40000 +203\.0\.113\.1:81 +\d+ +drop +drop_unmatched/g)?.length,
          3,
        )
      }
    }
  })
})
