import { after, before, describe } from 'node:test'
import { createBirdDriver } from '../../../reconciler/drivers/bgp/bird/driver.ts'
import { testDriverContract } from '../contract.ts'
import { bgpTables } from './bgp-tables.ts'
import { addBird, type BirdNode, openRouterLab, PEERING, type RouterLab, settled } from './router-lab.ts'

/** Against the daemon, with a session to a router that is up, and one to nobody. */
describe('the BIRD driver', () => {
  let lab: RouterLab
  let bird: BirdNode
  before(async () => {
    lab = await openRouterLab(PEERING)
    bird = await addBird(lab)
  })
  after(() => lab[Symbol.asyncDispose]())

  testDriverContract<'bgp'>({
    open: () => settled(createBirdDriver(bird ?? { socket: '', file: '', secretsDir: '' })),
    tables: bgpTables('bird'),
    runs: 12,
    absentKey: 'route/192.0.2.254/32',
  })
})
