import assert from 'node:assert/strict'
import { createSocket } from 'node:dgram'
import { existsSync, readFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { suite, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { interfaceIndex } from '../../../reconciler/drivers/xdp/libc.ts'
import { findNapiThreads } from '../../../reconciler/drivers/xdp/receive-cpus/napi-threads.ts'
import { diffNode } from '../../../reconciler/plan/diff.ts'
import { runCommand } from '../../../reconciler/process/run-command.ts'
import { emptyTables, type Table, type XdpInterfaceRow, type XdpRow } from '../../../schemas/node-state.ts'
import { converge, editsTo, never } from '../contract.ts'
import { backendsOf, serviceRow, settingsRow, tableOf } from '../xdp-tables.ts'
import { makeXdpLab, needsRoot } from './lab.ts'

const alone = availableParallelism() < 2 && 'there is one CPU only'
const FLOWS = 400

suite('which CPUs take the packets of an interface', { skip: needsRoot || alone }, async () => {
  const lab = await makeXdpLab()
  const [name, other] = lab.interfaces
  // A queue that the other end sends to for each CPU; with a program, as many must be there to receive.
  await runCommand('ethtool', ['-L', name, 'rx', '2'])
  await runCommand('ethtool', ['-L', other, 'tx', '2'])

  const row = (fields: Partial<XdpInterfaceRow> = {}): XdpInterfaceRow => ({
    ...{ kind: 'interface', name, attach: 'native' },
    ...fields,
  })
  const service = serviceRow({ protocol: 'udp', backends: backendsOf('10.0.0.1') })
  const tablesOf = (wanted: XdpInterfaceRow) => tableOf(settingsRow(), service, wanted)
  const seen = async () => (await lab.open().observe()).rows[`interface/${name}`]
  const differs = (wanted: XdpInterfaceRow, rows: Table<XdpRow>): boolean =>
    diffNode({ ...emptyTables(), xdp: tablesOf(wanted) }, { ...emptyTables(), xdp: rows }).xdp.length > 0
  /** With a /sys of this network namespace. */
  const byHand = async (command: string): Promise<string> =>
    (await runCommand('unshare', ['-m', 'sh', '-c', `mount -t sysfs none /sys && ${command}`])).stdout.trim()
  const THREADED = `/sys/class/net/${name}/threaded`
  const threads = () => findNapiThreads(name, interfaceIndex(name))
  const isAlive = (pid: number) => existsSync(`/proc/${pid}`)
  const all = readFileSync('/sys/devices/system/cpu/online', 'utf8').trim()
  const cpusOf = (pid: number) =>
    /^Cpus_allowed_list:\s+(.*)$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]

  test('is what the row says, queue by queue, and is read back', async () => {
    const rows = await converge(lab.open(), tablesOf(row({ cpus: '0-1' })))
    assert.deepEqual(rows[`interface/${name}`], row({ cpus: '0-1' }))
    assert.equal(await byHand(`cat ${THREADED}`), '1')
    assert.deepEqual(threads().map(cpusOf), ['0', '1'])
    await converge(lab.open(), tablesOf(row({ cpus: '1' })))
    assert.deepEqual(threads().map(cpusOf), ['1', '1'])
  })

  test('is where packets are counted: by those CPUs and by no other', async () => {
    const mac = readFileSync(await addressFile(name), 'utf8').trim()
    await runCommand('ip', ['address', 'add', '198.51.100.1/24', 'dev', other])
    await runCommand('ip', ['route', 'add', `${service.vip}/32`, 'dev', other])
    await runCommand('ip', ['neighbor', 'add', service.vip, 'lladdr', mac, 'dev', other])
    const count = async (): Promise<readonly number[]> =>
      ((await lab.open().observe()).facts.cpus as number[] | undefined) ?? []
    /** Packets that each CPU sent on, when one packet of every flow is there. */
    const send = async (cpus: string): Promise<number[]> => {
      await converge(lab.open(), tablesOf(row({ cpus })))
      const before = await count()
      for (let flow = 0; flow < FLOWS; flow++) await sendFrom(20_000 + flow)
      for (let looks = 0; looks < 100; looks++) {
        const since = (await count()).map((packets, cpu) => packets - before[cpu]!)
        if (since.reduce((sum, packets) => sum + packets, 0) >= FLOWS) return since
        await delay(50)
      }
      assert.fail('not all packets were counted')
    }
    const sendFrom = (port: number) =>
      new Promise<void>((resolve, reject) => {
        const socket = createSocket('udp4')
        socket.once('error', reject)
        socket.bind(port, '198.51.100.1', () =>
          socket.send('x', service.port, service.vip, error => {
            socket.close(() => (error ? reject(error) : resolve()))
          }),
        )
      })
    for (const cpu of [0, 1]) {
      const counted = await send(String(cpu))
      assert.equal(counted[cpu], FLOWS, `CPU ${cpu} alone: ${counted}`)
    }
    const [first = 0, second = 0] = await send('0-1')
    assert.ok(first > FLOWS / 4 && second > FLOWS / 4, `both: ${first} and ${second}`)
  })

  test('changed by somebody else is seen and put right', async () => {
    const wanted = tablesOf(row({ cpus: '0-1' }))
    const driver = lab.open()
    await converge(driver, wanted)
    for (const { change, found } of [
      { change: `taskset -pc 0 ${threads()[1]}`, found: '0' },
      { change: `taskset -pc 1 ${threads()[0]} && taskset -pc 0 ${threads()[1]}`, found: 'uneven' },
      { change: `echo 0 > ${THREADED}`, found: 'none' },
    ]) {
      await byHand(change)
      const { rows } = await driver.observe()
      assert.deepEqual(rows[`interface/${name}`], row({ cpus: found }))
      assert.ok(differs(row({ cpus: '0-1' }), rows))
      await driver.apply(editsTo(wanted, rows), never)
      assert.deepEqual(threads().map(cpusOf), ['0', '1'])
    }
  })

  test('is put back when a row no longer asks for it, or the interface goes, by another process too', async () => {
    for (const wanted of [tablesOf(row()), tableOf(settingsRow(), service)]) {
      await converge(lab.open(), tablesOf(row({ cpus: '1' })))
      assert.ok(differs(row(), (await lab.open().observe()).rows))
      const pids = threads()
      await converge(lab.open(), wanted)
      assert.deepEqual(await seen(), wanted[`interface/${name}`])
      assert.equal(await byHand(`cat ${THREADED}`), '0')
      // Older kernels keep them asleep.
      for (const pid of pids.filter(isAlive)) assert.equal(cpusOf(pid), all)
    }
  })

  test('is left as it was by somebody else, when no row asks for it', async () => {
    await converge(lab.open(), tablesOf(row()))
    await byHand(`echo 1 > ${THREADED}`)
    assert.deepEqual(await seen(), row())
    await converge(lab.open(), tablesOf(row({ cpus: '0' })))
    await converge(lab.open(), tablesOf(row()))
    assert.equal(await byHand(`cat ${THREADED}`), '1')
    await byHand(`echo 0 > ${THREADED}`)
  })

  test('that cannot be is refused, with what to do', async () => {
    await converge(lab.open(), tablesOf(row()))
    const refusal = async (wanted: XdpInterfaceRow) => {
      const driver = lab.open()
      const edits = editsTo(tablesOf(wanted), (await driver.observe()).rows)
      const [outcome] = await driver.apply(edits, never)
      assert.ok(outcome?.result === 'failed')
      return outcome
    }
    const missing = await refusal(row({ cpus: '0,4000' }))
    assert.equal(missing.code, 'XDP_NO_CPU')
    assert.match(missing.message, /4000/)
    const unpolled = await refusal(row({ attach: 'generic', cpus: '0' }))
    assert.equal(unpolled.code, 'XDP_CPUS_UNSUPPORTED')
    assert.match(unpolled.hint, /rps/)
    // And it goes again.
    assert.deepEqual((await converge(lab.open(), tablesOf(row())))[`interface/${name}`], row())
  })

  /** Of a /sys of this network namespace. */
  async function addressFile(interfaceName: string): Promise<string> {
    const file = `${lab.directory}/${interfaceName}.mac`
    await byHand(`cat /sys/class/net/${interfaceName}/address > ${file}`)
    return file
  }
})
