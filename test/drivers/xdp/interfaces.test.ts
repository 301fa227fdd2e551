import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { readLinkInfo } from '../../../reconciler/drivers/xdp/libbpf/info.ts'
import { queryXdp } from '../../../reconciler/drivers/xdp/libbpf/links.ts'
import { openPin } from '../../../reconciler/drivers/xdp/libbpf/pins.ts'
import { interfaceIndex } from '../../../reconciler/drivers/xdp/libc.ts'
import type { XdpInterfaceRow } from '../../../schemas/node-state.ts'
import { assertReached, converge, editsTo, never } from '../contract.ts'
import { backendsOf, serviceRow, settingsRow, tableOf } from '../xdp-tables.ts'
import { programIdOf } from './kernel.ts'
import { makeXdpLab, needsRoot } from './lab.ts'

suite('interfaces of the XDP driver', { skip: needsRoot }, async () => {
  const lab = await makeXdpLab()
  const pins = lab.pins()
  const [name] = lab.interfaces
  const row = (attach: XdpInterfaceRow['attach'], to: string = name): XdpInterfaceRow => ({
    kind: 'interface',
    name: to,
    attach,
  })
  const linkId = () => {
    using link = openPin(pins.link(name))
    return readLinkInfo(link!.fd).id
  }

  test('the mode asked for is the one that the kernel has, whichever it was before', async () => {
    const driver = lab.open()
    for (const mode of ['native', 'generic', 'native'] as const) {
      const wanted = tableOf(settingsRow(), row(mode))
      assertReached(wanted, await converge(driver, wanted))
      assert.deepEqual(queryXdp(interfaceIndex(name)), { mode, programId: programIdOf(pins) })
      const { facts } = await driver.observe()
      assert.deepEqual(facts.interfaces, { [name]: { mode, programId: programIdOf(pins) } })
    }
  })

  test('auto is native where there is native, and leaves what is there', async () => {
    const driver = lab.open()
    await converge(driver, tableOf(settingsRow()))
    await converge(driver, tableOf(settingsRow(), row('auto')))
    assert.equal(queryXdp(interfaceIndex(name)).mode, 'native')
    await converge(driver, tableOf(settingsRow(), row('generic')))
    const id = linkId()
    const wanted = tableOf(settingsRow(), row('auto'))
    assertReached(wanted, await converge(driver, wanted))
    assert.equal(linkId(), id)
  })

  test('auto is generic where native is refused, and native says why not', async () => {
    const driver = lab.open()
    await converge(driver, tableOf(settingsRow(), row('auto', 'lo')))
    assert.equal(queryXdp(interfaceIndex('lo')).mode, 'generic')
    await converge(driver, tableOf(settingsRow()))
    const wanted = tableOf(settingsRow(), row('native', 'lo'))
    const [outcome] = await driver.apply(editsTo(wanted, (await driver.observe()).rows), never)
    assert.ok(outcome?.result === 'failed')
    assert.equal(outcome.code, 'XDP_NOT_ATTACHED')
    assert.match(outcome.message, /native: EOPNOTSUPP/)
  })

  test('services stand before the program is attached, in one batch too', async () => {
    const driver = lab.open()
    await converge(driver, {})
    const web = serviceRow({ backends: backendsOf('10.0.0.1') })
    // Edits come sorted by key: the interface first, the settings last.
    const wanted = tableOf(row('native'), web, settingsRow())
    const outcomes = await driver.apply(editsTo(wanted, {}), never)
    assert.deepEqual(
      outcomes.map(({ result }) => result),
      ['applied', 'applied', 'applied'],
    )
    assertReached(wanted, (await driver.observe()).rows)
    assert.deepEqual(await converge(driver, {}), {})
    assert.equal(queryXdp(interfaceIndex(name)).programId, 0)
  })
})
