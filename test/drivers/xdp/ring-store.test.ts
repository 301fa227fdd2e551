import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { encodeIndex, encodeRing, structs } from '../../../reconciler/drivers/xdp/layout.ts'
import { readMapInfo } from '../../../reconciler/drivers/xdp/libbpf/info.ts'
import {
  createMap,
  freezeMap,
  MapFlag,
  MapType,
  updateEntry,
} from '../../../reconciler/drivers/xdp/libbpf/maps.ts'
import { createRingStore } from '../../../reconciler/drivers/xdp/ring-store.ts'
import { buildRing } from '../../../reconciler/ring/maglev.ts'
import { needsRoot } from './lab.ts'

suite('rings read from the kernel', { skip: needsRoot }, () => {
  function createRing() {
    const { fd } = createMap({
      type: MapType.array,
      name: 'ring',
      keySize: 4,
      valueSize: structs.ring.size,
      maxEntries: 1,
      flags: MapFlag.mmapable,
    })
    const backends = [{ address: '10.0.0.1', weight: 1 }]
    const write = (idleTimeout: number, configId?: number) =>
      updateEntry(
        fd,
        encodeIndex(0),
        encodeRing({
          ...{ generation: 1, encapsulation: 'ipip', idleTimeout },
          ...(configId !== undefined && { quic: { list: 1, configId, idBytes: 2 } }),
          key: { vip: '203.0.113.1', port: 443, protocol: 'udp' },
          members: backends.map(backend => ({ ...backend, generation: 1, counter: 0 })),
          slots: buildRing(backends),
        }),
      )
    return { mapId: readMapInfo(fd).id, write, freeze: () => freezeMap(fd) }
  }
  const timeoutOf = (content: unknown): unknown => (content as { idleTimeout: number }).idleTimeout

  test('one that may be written is read each time, and has another digest then', () => {
    const store = createRingStore(buildRing)
    const ring = createRing()
    ring.write(60)
    const before = store.readLoose(ring.mapId)
    assert.notEqual(before, '')
    assert.equal(timeoutOf(store.read(ring.mapId)), 60)
    ring.write(61)
    assert.notEqual(store.readLoose(ring.mapId), before)
    assert.equal(timeoutOf(store.read(ring.mapId)), 61)
    assert.deepEqual([store.isFinal(ring.mapId), store.isKnown(ring.mapId)], [false, false])
  })

  test('one that nobody can write has no digest, read or not, and is read once', () => {
    const store = createRingStore(buildRing)
    const ring = createRing()
    ring.write(60)
    ring.freeze()
    assert.equal(store.readLoose(ring.mapId), '')
    assert.deepEqual([store.isFinal(ring.mapId), store.isKnown(ring.mapId)], [true, false])
    const content = store.read(ring.mapId)
    assert.equal(timeoutOf(content), 60)
    assert.equal(store.read(ring.mapId), content)
    assert.equal(store.isKnown(ring.mapId), true)
    store.keepOnly(new Map())
    assert.deepEqual([store.isFinal(ring.mapId), store.isKnown(ring.mapId)], [false, false])
  })

  test('whether any of those that are known names server ids is remembered, until they are gone', () => {
    const store = createRingStore(buildRing)
    const ring = createRing()
    ring.write(60, 3)
    ring.freeze()
    assert.equal(store.hasServerIds(), false)
    store.read(ring.mapId)
    assert.equal(store.hasServerIds(), true)
    store.keepOnly(new Map([[0, ring.mapId]]))
    assert.equal(store.hasServerIds(), true)
    store.keepOnly(new Map())
    assert.equal(store.hasServerIds(), false)
  })
})
