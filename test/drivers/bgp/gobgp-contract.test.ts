import { after, before, describe } from 'node:test'
import { createGobgpDriver } from '../../../reconciler/drivers/bgp/gobgp/driver.ts'
import { testDriverContract } from '../contract.ts'
import { bgpTables } from './bgp-tables.ts'
import {
  addGobgp,
  GOBGP_API,
  type GobgpNode,
  openRouterLab,
  PEERING_BY_FAMILY,
  type RouterLab,
  settled,
} from './router-lab.ts'

/** Against the daemon, with sessions to a router that are up, and one to nobody. */
describe('the GoBGP driver', () => {
  let lab: RouterLab
  let gobgp: GobgpNode
  before(async () => {
    lab = await openRouterLab(PEERING_BY_FAMILY)
    gobgp = await addGobgp(lab)
  })
  after(() => lab[Symbol.asyncDispose]())

  testDriverContract<'bgp'>({
    open: () => settled(createGobgpDriver(gobgp ?? { api: 'unix:///', apiDir: GOBGP_API, secretsDir: '' })),
    tables: bgpTables('gobgp'),
    runs: 6,
    absentKey: 'route/192.0.2.254/32',
  })
})
