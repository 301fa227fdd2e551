import assert from 'node:assert/strict'
import { before, suite, test } from 'node:test'
import { decapReasons, decapStructs } from '../../reconciler/drivers/xdp/decap/decap-layout.ts'
import { FLOW_WAYS, RING_MEMBERS, reasons, structs } from '../../reconciler/drivers/xdp/layout.ts'
import { traceStructs } from '../../reconciler/drivers/xdp/trace/trace-layout.ts'
import { runCommand } from '../../reconciler/process/run-command.ts'
import { RING_SLOTS } from '../../schemas/ring-limits.ts'
import { buildObjects, objectFile } from './balancer.ts'

/** As `bpftool -j btf dump` prints it. */
interface BtfType {
  readonly id: number
  readonly kind: string
  readonly name: string
  readonly size?: number
  readonly type_id?: number
  readonly nr_elems?: number
  readonly members?: readonly {
    readonly name: string
    readonly type_id: number
    readonly bits_offset: number
  }[]
  readonly values?: readonly { readonly name: string; readonly val: number }[]
}

const readTypes = async (program: string): Promise<readonly BtfType[]> => {
  const { stdout } = await runCommand('bpftool', ['-j', 'btf', 'dump', 'file', objectFile(program)])
  return JSON.parse(stdout).types
}

suite("the layout that TypeScript has of the program's data", () => {
  let types: readonly BtfType[]
  before(async () => {
    await buildObjects()
    types = await readTypes('lb')
  })

  const typeOf = (kind: string, name: string): BtfType => {
    const found = types.find(type => type.kind === kind && type.name === name)
    assert.ok(found, `the object has no ${kind.toLowerCase()} ${name}`)
    return found
  }

  const elementsOf = (struct: string, field: string): number => {
    const member = typeOf('STRUCT', struct).members?.find(({ name }) => name === field)
    const array = types.find(({ id }) => id === member?.type_id)
    assert.equal(array?.kind, 'ARRAY')
    return array.nr_elems!
  }

  for (const [name, { size, fields }] of Object.entries({ ...structs, ...traceStructs })) {
    test(`has the size and the fields of struct ${name}, in their places`, () => {
      const struct = typeOf('STRUCT', name)
      const members = struct.members!.map(member => [member.name, member.bits_offset / 8])
      assert.deepEqual({ size, fields }, { size: struct.size, fields: Object.fromEntries(members) })
    })
  }

  test('has the lengths of arrays', () => {
    assert.equal(RING_SLOTS, elementsOf('ring', 'slots'))
    assert.equal(RING_MEMBERS, elementsOf('ring', 'members'))
    assert.equal(FLOW_WAYS, elementsOf('flow_bucket', 'ways'))
  })

  test('names the reasons as the program does, in the same order', () => {
    const values = typeOf('ENUM', 'reason').values!
    assert.deepEqual(
      [...reasons.map(reason => `REASON_${reason.toUpperCase()}`), 'REASON_COUNT'],
      values.toSorted((a, b) => a.val - b.val).map(({ name }) => name),
    )
    assert.equal(values.at(-1)!.val, reasons.length)
  })

  test('has the prefixes and the reasons of the decapsulator', async () => {
    const found = await readTypes('decap')
    const named = (kind: string, name: string) =>
      found.find(each => each.kind === kind && each.name === name)!
    for (const [name, { size, fields }] of Object.entries(decapStructs)) {
      const struct = named('STRUCT', name)
      const members = struct.members!.map(member => [member.name, member.bits_offset / 8])
      assert.deepEqual({ size, fields }, { size: struct.size, fields: Object.fromEntries(members) })
    }
    assert.deepEqual(
      [...decapReasons.map(reason => `DECAP_${reason.toUpperCase()}`), 'DECAP_REASON_COUNT'],
      named('ENUM', 'decap_reason').values!.map(({ name }) => name),
    )
  })
})
