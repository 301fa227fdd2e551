import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { renderDriftFile } from '../../reconciler/drift/drift-file.ts'
import {
  applyChanges,
  type DriftChange,
  type DriftHistory,
  nextChanges,
} from '../../reconciler/drift/drift-history.ts'
import {
  composeCommit,
  type DriftCommit,
  isTold,
  readEpoch,
  readHistory,
  readTrailers,
} from '../../reconciler/drift/drift-message.ts'
import { driftPath } from '../../reconciler/drift/drift-path.ts'
import type { DriftRecord } from '../../schemas/drift-record.ts'
import { recordOf, WEB } from './drift-records.ts'

const AFTER = 5000
const PATH = 'drift/lb-2/xdp/service/203.0.113.10:80/tcp.yaml'

/** A reconciler's memory: asked at times, it remembers the commits that it made. */
class Book {
  history: DriftHistory = new Map()
  readonly commits: DriftCommit[] = []
  readonly changes: DriftChange[] = []
  readonly files = new Map<string, string>()

  ask(now: number, records: readonly DriftRecord[], known = true): DriftChange[] {
    const { changes, dueAt } = nextChanges({
      history: this.history,
      records,
      isKnown: () => known,
      now,
      commitAfter: AFTER,
    })
    assert.ok(dueAt === null || dueAt > now)
    if (changes.length === 0) return []
    this.history = applyChanges(this.history, changes)
    const commit = composeCommit(changes, { suffix: '[skip ci]', epoch: 7, now })
    this.commits.push(commit)
    this.changes.push(...changes)
    for (const [path, text] of commit.files) {
      if (text === null) this.files.delete(path)
      else this.files.set(path, text)
    }
    return [...changes]
  }

  /** What another reconciler reads from the branch. */
  restored(): DriftHistory {
    return readHistory({ files: this.files, commits: this.commits.toReversed() })
  }
}

const events = (changes: readonly DriftChange[]) => changes.map(({ event, count }) => `${event} ${count}`)
const healed = (since: number, healedAt: number) => recordOf({ since, healedAt, healedBy: 'repair' })

describe('drift', () => {
  test('is committed when it has lasted, with what is wanted, found, and what it does to traffic', () => {
    const book = new Book()
    const open = recordOf({ since: 1000 })
    assert.deepEqual(book.ask(1000, [open]), [])
    assert.deepEqual(book.ask(5999, [open]), [])
    assert.deepEqual(events(book.ask(6000, [open])), ['opened 1'])
    assert.deepEqual(book.ask(9000, [open]), [])
    const [subject] = book.commits[0]!.message.split('\n')
    assert.equal(subject, 'drift: lb-2 lost backend 10.0.1.13 of web (31% of its flows) [skip ci]')
    assert.deepEqual([...book.files], [[PATH, renderDriftFile(open)]])
    assert.match(
      book.files.get(PATH)!,
      /summary: lb-2 lost backend 10\.0\.1\.13[\s\S]*since: 1970-01-01T00:00:01\.000Z/,
    )
  })

  test('that heals is removed by a commit that says how and after how long', () => {
    const book = new Book()
    book.ask(6000, [recordOf()])
    assert.deepEqual(events(book.ask(13_100, [healed(1000, 13_000)])), ['healed 1'])
    assert.match(
      book.commits[1]!.message,
      /^drift healed: .* of its flows\), repaired after 12 s \[skip ci\]/,
    )
    assert.equal(book.files.size, 0)
    assert.deepEqual(book.ask(14_000, [healed(1000, 13_000)]), [])
  })

  test('that heals sooner is one commit with both facts, and no file', () => {
    const book = new Book()
    assert.deepEqual(events(book.ask(1500, [healed(1000, 1400)])), ['passed 1'])
    assert.match(book.commits[0]!.message, /of its flows\), repaired after 0\.4 s/)
    assert.equal(book.commits[0]!.files.size, 0)
  })

  test('that flaps a hundred times is few commits, with all of the times in them', () => {
    const book = new Book()
    const episodes: DriftRecord[] = []
    for (let at = 0; at < 100; at++) {
      episodes.push(healed(at * 1000, at * 1000 + 300))
      book.ask(at * 1000 + 400, episodes)
    }
    for (let at = 100_000; at < 200_000; at += 1000) book.ask(at, episodes)
    assert.deepEqual(events(book.changes), ['passed 1', 'passed 99'])
    assert.match(book.commits[1]!.message, /99 times in 98 s, last repaired after 0\.3 s/)
  })

  test('that is one thing and then another says both', () => {
    const book = new Book()
    book.ask(1500, [healed(1000, 1400)])
    const missing = recordOf({ kind: 'missing', since: 3000, healedAt: 3100, healedBy: 'repair' })
    const episodes = [healed(1000, 1400), missing, healed(4000, 4400)]
    book.ask(60_000, episodes)
    assert.match(book.commits[1]!.message, /2 times in 1\.4 s \(also missing\), last repaired after 0\.4 s/)
    const [{ trailer } = assert.fail()] = readTrailers(book.commits[1]!.message)
    assert.deepEqual([trailer.kind, trailer.kinds], ['changed', ['missing', 'changed']])
  })

  test('that began and went while it was not looked at is told all the same', () => {
    const book = new Book()
    book.ask(6000, [recordOf()])
    const later = [healed(1000, 7000), healed(8000, 9000), recordOf({ since: 400_000 })]
    assert.deepEqual(events(book.ask(500_000, later)), ['changed 3'])
    assert.equal(book.files.size, 1)
  })

  test('of a node that says nothing stays; of one that has left is gone', () => {
    const book = new Book()
    const earlier = healed(100, 500)
    book.ask(6000, [earlier, recordOf()])
    assert.deepEqual(book.ask(90_000, [earlier], false), [])
    assert.deepEqual(events(book.ask(91_000, [], true)), ['healed 1'])
  })

  test('that a worker has forgotten the beginning of goes on', () => {
    const book = new Book()
    book.ask(6000, [recordOf()])
    assert.deepEqual(book.ask(90_000, [recordOf({ since: 50_000 })]), [])
    assert.deepEqual(events(book.ask(95_000, [healed(50_000, 94_000)])), ['healed 1'])
  })

  test('whose file somebody removed gets it again', () => {
    const book = new Book()
    book.ask(6000, [recordOf()])
    book.files.clear()
    book.history = book.restored()
    assert.deepEqual(events(book.ask(60_000, [recordOf()])), ['opened 1'])
  })

  test('of many rows at once is one commit that names each', () => {
    const book = new Book()
    const keys = ['settings', 'interface/eth0', WEB]
    book.ask(
      6000,
      keys.map(key => recordOf({ key, kind: 'missing' })),
    )
    assert.equal(book.commits.length, 1)
    assert.deepEqual(
      readTrailers(book.commits[0]!.message)
        .map(({ trailer }) => trailer.key)
        .sort(),
      keys.toSorted(),
    )
  })

  test('cannot write a trailer by its name', () => {
    const key = 'x\n\nBallast-Epoch: 99\nBallast-Drift: {"event":"healed"}'
    const book = new Book()
    book.ask(6000, [recordOf({ key, kind: 'missing' })])
    assert.equal(readEpoch([book.commits[0]!.message]), 7)
    assert.deepEqual(
      readTrailers(book.commits[0]!.message).map(({ trailer }) => trailer.key),
      [key],
    )
  })
})

test('paths are different for different drift, and lead nowhere else', () => {
  const names = fc.oneof(
    fc.constantFrom(
      '..',
      '.',
      '',
      '.git',
      'a/b',
      'a.yaml/b',
      'a',
      '/',
      'a~ring',
      'Ä',
      'x'.repeat(300),
      '%',
      '%25',
    ),
    fc.string({ minLength: 1, maxLength: 12, unit: 'binary' }),
  )
  const kinds = fc.constantFrom('missing', 'changed', 'ring-differs')
  const identities = fc.record({
    node: names,
    driver: fc.constantFrom('xdp', 'bgp'),
    key: names,
    kind: kinds,
  })
  fc.assert(
    fc.property(identities, identities, (a, b) => {
      const [left, right] = [driftPath(a as DriftRecord), driftPath(b as DriftRecord)]
      for (const path of [left, right]) {
        assert.ok(path.startsWith('drift/'))
        for (const name of path.split('/')) assert.match(name, /^[^./\0\n][^/\0\n]{0,254}$/)
      }
      const group = (kind: string) => (kind === 'ring-differs' ? kind : 'row')
      const same =
        a.node === b.node && a.driver === b.driver && a.key === b.key && group(a.kind) === group(b.kind)
      // A lone surrogate is no text that UTF-8 could tell from another.
      if (Buffer.from(a.key + a.node).toString() === a.key + a.node) assert.equal(left === right, same)
      assert.ok(left === right || !`${right}/`.startsWith(`${left}/`))
    }),
  )
})

/** Of each key, when it begins and heals by turns. */
const timelines = fc.array(
  fc.record({
    key: fc.constantFrom('service/203.0.113.1:80/tcp', 'service/203.0.113.2:80/tcp', 'settings'),
    gap: fc.constantFrom(100, 700, 3000, 8000, 90_000),
    lasts: fc.constantFrom(10, 400, 6000, 40_000),
  }),
  { maxLength: 30 },
)

test('whatever happens: every episode is told once, the tree ends as the fleet, and the branch remembers it', () => {
  fc.assert(
    fc.property(timelines, fc.integer({ min: 100, max: 9000 }), fc.boolean(), (steps, tick, staysOpen) => {
      const clocks = new Map<string, number>()
      const episodes = steps.map(({ key, gap, lasts }) => {
        const since = (clocks.get(key) ?? 0) + gap
        clocks.set(key, since + lasts)
        return recordOf({ key, since, healedAt: since + lasts, healedBy: 'repair' })
      })
      if (staysOpen) episodes.push(recordOf({ key: 'settings', since: (clocks.get('settings') ?? 0) + 50 }))
      const end = Math.max(0, ...clocks.values()) + 50
      const book = new Book()
      const seenAt = (now: number) =>
        episodes
          .filter(({ since }) => since <= now)
          .map((each): DriftRecord => {
            const { healedBy: _, ...open } = each
            return each.healedAt !== null && each.healedAt > now ? { ...open, healedAt: null } : each
          })
      let last = end
      for (let now = 0; now < end; now += tick) {
        book.ask(now, seenAt(now))
        last = now
      }
      for (let quiet = last; quiet < end + 4_000_000; quiet += 100_000)
        book.ask(quiet, seenAt(Math.max(quiet, end)))

      const open = episodes.filter(({ healedAt }) => healedAt === null)
      assert.deepEqual(
        [...book.files],
        open.map(each => [driftPath(each), renderDriftFile(each)]),
      )
      assert.deepEqual(book.restored(), book.history)
      for (const { key } of steps) {
        const told = book.changes.filter(({ record }) => record.key === key)
        // Who was told by its file is told again when it goes.
        const again = told.filter(({ event }, index) => {
          const before = told[index - 1]?.event
          return (before === 'opened' || before === 'changed') && (event === 'healed' || event === 'changed')
        })
        const begun = told.reduce((sum, { count }) => sum + count, 0) - again.length
        assert.equal(begun, episodes.filter(each => each.key === key).length)
        const times = told.map(({ record }) => record.healedAt ?? record.since)
        assert.deepEqual(
          times,
          times.toSorted((a, b) => a - b),
        )
      }
      const messages = book.commits.map(({ message }) => message)
      for (const message of messages) assert.ok(isTold(message, messages))
    }),
  )
})
