import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { suite, test } from 'node:test'
import { setTimeout } from 'node:timers/promises'
import { listPins } from '../../../reconciler/drivers/xdp/libbpf/pins.ts'
import { assertReached, converge, editsTo } from '../contract.ts'
import { makeXdpLab, needsRoot } from './lab.ts'
import { restlessTables } from './restless-tables.ts'

const ROUNDS = 10

suite('a process killed in the middle of an apply', { skip: needsRoot }, async () => {
  const lab = await makeXdpLab()
  const tables = restlessTables(lab.interfaces)

  async function runAndKill(afterMs: number): Promise<void> {
    const script = join(import.meta.dirname, 'restless.ts')
    const args = [script, 'lb-1.example', lab.bpffs, lab.objectFile, ...lab.interfaces]
    const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] })
    const gone = once(child, 'exit')
    await once(child.stdout, 'data')
    await setTimeout(afterMs)
    assert.equal(child.exitCode, null, 'it ended by itself')
    child.kill('SIGKILL')
    await gone
  }

  test('leaves what the next one makes whole (rule 5)', async t => {
    let between = 0
    for (let round = 0; round < ROUNDS; round++) {
      await runAndKill(20 + ((round * 137) % 300))
      const driver = lab.open()
      const { rows } = await driver.observe()
      if (tables.every(table => editsTo(table, rows).length > 0)) between++
      const wanted = tables[round % tables.length]!
      assertReached(wanted, await converge(driver, wanted))
    }
    t.diagnostic(`${between} of ${ROUNDS} were killed between two tables`)
    assert.deepEqual(await converge(lab.open(), {}), {})
    assert.deepEqual(listPins(lab.pins().root), [])
  })
})
