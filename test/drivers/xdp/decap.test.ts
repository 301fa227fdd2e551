import assert from 'node:assert/strict'
import { resolve } from 'node:path'
import { suite, test } from 'node:test'
import type { DecapStatus } from '../../../reconciler/drivers/xdp/decap/decap.ts'
import { openPin } from '../../../reconciler/drivers/xdp/libbpf/pins.ts'
import { runProgram } from '../../../reconciler/drivers/xdp/libbpf/test-run.ts'
import { runCommand } from '../../../reconciler/process/run-command.ts'
import { buildFrame, encapsulate } from '../../bpf/packet.ts'
import { makeXdpLab, needsRoot } from './lab.ts'

const CLI = resolve(import.meta.dirname, '../../../reconciler/cli.ts')

/** What a balancer at 10.64.0.1 sends to a backend. */
const frame = encapsulate(
  buildFrame({
    source: '198.51.100.7',
    sourcePort: 40_000,
    vip: '203.0.113.10',
    port: 443,
    protocol: 'tcp',
    payload: Buffer.alloc(20, 1),
  }),
  {
    source: Uint8Array.of(10, 64, 0, 1),
    destination: Uint8Array.of(10, 9, 0, 1),
    flowLabel: 0,
    ethernet: { to: '02:00:00:00:00:04', from: '02:00:00:00:00:03' },
    gue: { sourcePort: 50_000, port: 4754, variant: 1 },
  },
)

suite('ballast decap', { skip: needsRoot }, async () => {
  const lab = await makeXdpLab()

  const decap = (...args: string[]) =>
    runCommand(process.execPath, [CLI, 'decap', ...args, '--bpffs', lab.bpffs], { okExitCodes: [0, 1, 2] })
  const status = async (): Promise<DecapStatus[]> => JSON.parse((await decap('status', '--json')).stdout)
  /** Through the program that is pinned. */
  const send = (name: string): void => {
    using program = openPin(`${lab.bpffs}/ballast-decap/${name}/prog`)
    runProgram(program!.fd, frame)
  }

  test('attaches, takes other settings without losing a count, and detaches', async () => {
    const [name] = lab.interfaces
    const vips = ['--vip', '203.0.113.0/24', '2001:db8::10']
    const attached = await decap('attach', name, ...vips, '--allow', '10.64.0.0/24', '--gue-port', '4754')
    assert.deepEqual([attached.exitCode, attached.stderr], [0, ''])
    send(name)
    const [first] = await status()
    assert.deepEqual(
      [first!.interface, first!.mode, first!.vips, first!.allowed, first!.guePort],
      [name, 'native', ['2001:db8::10/128', '203.0.113.0/24'], ['10.64.0.0/24'], 4754],
    )
    assert.deepEqual(first!.counters.gue, { packets: 1, bytes: frame.length })

    await decap('attach', name, '--vip', '203.0.113.10', '--allow', '10.65.0.1', '--gue-port', '4754')
    send(name)
    const [second] = await status()
    assert.deepEqual([second!.vips, second!.allowed], [['203.0.113.10/32'], ['10.65.0.1/32']])
    assert.deepEqual([second!.counters.gue.packets, second!.counters.pass_source.packets], [1, 1])
    assert.match((await decap('status', name)).stdout, /pass_source +│ +1 /)

    await runCommand('ip', ['link', 'set', 'dev', name, 'down'])
    await runCommand('ip', ['link', 'set', 'dev', name, 'up'])
    assert.equal((await status())[0]!.mode, 'native')
    assert.equal((await decap('detach', name)).exitCode, 0)
    assert.deepEqual(await status(), [])
    const { stdout } = await runCommand('ip', ['link', 'show', 'dev', name])
    assert.doesNotMatch(stdout, /xdp/)
    assert.equal((await decap('detach', name)).exitCode, 0)
  })

  test('says what is wrong with what it is given, and touches nothing then', async () => {
    const [name] = lab.interfaces
    const wrong = async (...args: string[]): Promise<string> => {
      const { exitCode, stderr } = await decap('attach', ...args)
      assert.equal(exitCode, 1)
      return stderr
    }
    const allow = ['--allow', '10.64.0.1']
    assert.match(await wrong(name, ...allow), /--vip/)
    assert.match(await wrong(name, '--vip', '203.0.113.10'), /--allow/)
    assert.match(await wrong(name, '--vip', '203.0.113.10/33', ...allow), /no prefix/)
    assert.match(await wrong(name, '--vip', 'web', ...allow), /no prefix/)
    assert.match(await wrong('none7', '--vip', '203.0.113.10', ...allow), /XDP_NO_INTERFACE/)
    assert.match(await wrong(name, '--vip', '203.0.113.10', ...allow, '--gue-port', '0'), /no port/)
    assert.equal((await decap('status')).exitCode, 2)
  })
})
