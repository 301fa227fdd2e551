import { before, suite, test } from 'node:test'
import { encodeConfig } from '../../../reconciler/drivers/xdp/config.ts'
import { openObject } from '../../../reconciler/drivers/xdp/libbpf/object.ts'
import { buildObjects, objectFile } from '../../bpf/balancer.ts'
import { settingsRow } from '../xdp-tables.ts'
import { needsRoot } from './lab.ts'

/** The verifier leaves out what constants switch off, so each combination is another program to it. */
suite('the verifier accepts the program', { skip: needsRoot }, () => {
  before(buildObjects)
  for (const egress of ['hairpin', 'fib'] as const) {
    for (const unmatched of ['drop', 'pass'] as const) {
      for (const ipv4 of ['', '10.64.0.0/16']) {
        for (const ipv6 of ['', '2001:db8:64::/64']) {
          const sources = [ipv4, ipv6].filter(prefix => prefix !== '').join(' and ') || 'nothing'
          test(`with egress ${egress}, unmatched ${unmatched}, sources from ${sources}`, async () => {
            using object = openObject(objectFile('lb'), 'ballast')
            object.setConstant(
              'config',
              encodeConfig({
                fleetKey: new Uint8Array(16),
                bucketKey: 1n,
                nearBuckets: 1024,
                halfOpenBuckets: 1024,
                settings: settingsRow({ egress, unmatched, sources: { ipv4, ipv6 } }),
              }),
            )
            await object.load()
          })
        }
      }
    }
  }
})
