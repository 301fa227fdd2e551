import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { changedSince, changeMap } from '../../../reconciler/drivers/xdp/changed-map.ts'
import { createRingsDigest } from '../../../reconciler/drivers/xdp/digest-rings.ts'
import { createKeyFollower } from '../../../reconciler/drivers/xdp/follow-keys.ts'
import { knowServices } from '../../../reconciler/drivers/xdp/known-services.ts'
import { createServiceObserver } from '../../../reconciler/drivers/xdp/observe-services.ts'
import type { KnownRing, RingContent } from '../../../reconciler/drivers/xdp/ring-store.ts'
import type { Tables } from '../../../reconciler/drivers/xdp/tables.ts'

const NAMES = ['a', 'b', 'c', 'd']
const breathe = async () => {}

/** Two tables of services, which look after look finds again; in one of them two have one ring. */
const SERVICES = [NAMES, ['a', 'b', 'c', 'a']].map(
  ids =>
    new Map(
      NAMES.map((name, place) => {
        const key = { vip: `192.0.2.${place}`, port: 80, protocol: 'tcp' as const }
        return [name, { key, id: NAMES.indexOf(ids[place]!) }]
      }),
    ),
)
const VIPS = [NAMES, ['a', 'c']].map(
  names => new Map(names.map(name => [`192.0.2.${NAMES.indexOf(name)}`, 1])),
)

/** What is in the map of a ring. Of one that is not final it differs from look to look. */
const content = fc.record({
  name: fc.constantFrom(...NAMES, 'elsewhere'),
  final: fc.boolean(),
  l2: fc.boolean(),
  access: fc.boolean(),
})
const look = fc.record({
  services: fc.nat(1),
  vips: fc.nat(1),
  /** What is in the access list that rings name. */
  allowed: fc.nat(1),
  /** Map ids by ring; absent: there is none. */
  rings: fc.array(fc.option(fc.nat(5), { nil: undefined }), { minLength: 4, maxLength: 4 }),
})

interface Content {
  readonly name: string
  readonly l2: boolean
  readonly access: boolean
}

function ringOf({ name, l2, access }: Content, mapId: number, time: number): KnownRing {
  const ring = { slots: 1, differing: 0 }
  const row = { kind: 'service', encapsulation: l2 ? 'l2' : 'ipip', idleTimeout: time, ring, backends: [] }
  const list = access && { access: { list: 1, otherwise: 'deny' } }
  return { rowKey: name, row, members: [], digest: `${mapId} ${time}`, ...list } as unknown as KnownRing
}

test('what is remembered of looks gives the rows and digests that a first look at the same tables gives', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(content, { minLength: 6, maxLength: 6 }),
      fc.array(look, { minLength: 1, maxLength: 8 }),
      async (contents, looks) => {
        const finals = contents.map((each, mapId) => ringOf(each, mapId, 0))
        const storeAt = (clock: () => number) => ({
          isKnown: (mapId: number) => contents[mapId]!.final,
          read: (mapId: number): RingContent =>
            contents[mapId]!.final ? finals[mapId]! : ringOf(contents[mapId]!, mapId, clock()),
        })
        let time = 0
        const store = storeAt(() => time)
        const [observe, digest] = [createServiceObserver(), createRingsDigest()]
        const follow = createKeyFollower<string, KnownRing>(({ row }) => row.encapsulation === 'l2')
        let rings: ReadonlyMap<number, number> = new Map()
        for (const each of looks) {
          time++
          rings = changeMap(
            rings,
            each.rings.map((mapId, id) => [id, mapId]),
          )
          const accessLists = new Map([[1, { allow: [`10.0.0.${each.allowed}/32`], deny: [] }]])
          const lists = { aliens: [], ranges: new Map(), accessLists, serverIds: new Map() }
          const tables: Tables = {
            services: SERVICES[each.services]!,
            vips: VIPS[each.vips]!,
            rings,
            ...lists,
          }
          const known = await knowServices({ store, breathe }, tables)
          const fresh = await knowServices({ store: storeAt(() => time), breathe }, tables)
          assert.deepEqual(new Map([...known].sort()), new Map([...fresh].sort()))
          const rows = await observe(tables, known, breathe)
          const freshRows = await createServiceObserver()(tables, fresh, breathe)
          assert.deepEqual(new Map([...rows].sort()), new Map([...freshRows].sort()))
          assert.equal(
            await digest(tables.services, known, breathe),
            await createRingsDigest()(tables.services, fresh, breathe),
          )
          const l2 = [...fresh].filter(([, { row }]) => row.encapsulation === 'l2').map(([name]) => name)
          assert.deepEqual([...follow(known)].sort(), l2.sort())
        }
      },
    ),
  )
})

test('a map that is made of another one knows which keys differ, and of others nobody does', () => {
  const first = new Map([
    ['a', 1],
    ['b', 2],
  ])
  assert.equal(changeMap(first, [['a', 1]]), first)
  const second = changeMap(first, [
    ['a', 1],
    ['b', undefined],
    ['c', 3],
  ])
  assert.deepEqual([...second].sort(), [
    ['a', 1],
    ['c', 3],
  ])
  assert.deepEqual([...changedSince(first, second)!], ['b', 'c'])
  const third = changeMap(second, [['c', 4]])
  assert.equal(changedSince(first, third), null)
  assert.equal(changedSince(undefined, third), null)
  assert.deepEqual([...changedSince(third, third)!], [])
})
