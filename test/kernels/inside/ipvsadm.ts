import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { release } from 'node:os'
import { resolve } from 'node:path'
import { suite, test } from 'node:test'
import { runCommand } from '../../../reconciler/process/run-command.ts'

/** The parsers of the IPVS driver are tested with what ipvsadm said once: this kernel makes it say the same. */

const golden = (name: string): string =>
  readFileSync(resolve(import.meta.dirname, '../../drivers/ipvs/golden', name), 'utf8')

const ipvsadm = async (args: readonly string[], input = ''): Promise<string> =>
  (await runCommand('ipvsadm', args, { input })).stdout

/** Services come in the order of a hash, and backends of another family where the kernel likes. */
const sorted = (text: string): string[] => text.split('\n').sort()

suite(`ipvsadm on Linux ${release()}`, () => {
  test('what was saved once is taken, and saved again as it was', async () => {
    await ipvsadm(['-R'], golden('save.txt'))
    assert.deepEqual(sorted(await ipvsadm(['-S', '-n'])), sorted(golden('save.txt')))
    await ipvsadm(['-C'])
  })

  test('thresholds, time-outs and daemons are listed as they were', async () => {
    const service = ['-t', '203.0.113.1:80'] as const
    await ipvsadm(['-A', ...service, '-s', 'mh', '-b', 'mh-port,mh-fallback'])
    await ipvsadm(['-a', ...service, '-r', '10.0.0.1:80'])
    await ipvsadm(['-a', ...service, '-r', '10.0.0.2:80', '-x', '10', '-y', '4'])
    const listing = await ipvsadm(['-L', '-n', '--thresholds'])
    assert.deepEqual(sorted(listing), sorted(golden('listing.txt')))
    await ipvsadm(['-C'])

    await ipvsadm(['--set', '1000', '60', '200'])
    assert.equal(await ipvsadm(['-L', '--timeout']), golden('timeouts.txt'))
  })
})
