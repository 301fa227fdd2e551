import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { explainRisk } from '../../reconciler/plan/assess-risk.ts'
import { planFleet } from '../../reconciler/plan/plan-fleet.ts'
import { renderHtml } from '../../reconciler/render/render-html.ts'
import { renderJunit } from '../../reconciler/render/render-junit.ts'
import { COMMENT_MARKER, renderMarkdown } from '../../reconciler/render/render-markdown.ts'
import { renderSarif } from '../../reconciler/render/render-sarif.ts'
import { renderTerminal } from '../../reconciler/render/render-terminal.ts'
import { changedServices, groupAlike, idOf, withoutUnchanged } from '../../reconciler/render/words.ts'
import type { NodeTables, RowBackend } from '../../schemas/node-state.ts'
import { FleetPlan } from '../../schemas/plan.ts'
import type { RolloutPreview } from '../../schemas/rollout.ts'
import { backend, serviceRow, settingsRow, tablesOf } from '../plan/rows.ts'
import { arbitraryOf } from '../schemas/arbitrary-of.ts'

const hosts = (list: readonly number[], weight = 100): RowBackend[] =>
  list.map(host => backend(`10.0.1.${host}`, weight))
const web = (list: readonly number[], weight?: number) => serviceRow('203.0.113.1', hosts(list, weight))
const node = (index: number): string => `lb-${String(index).padStart(2, '0')}`

/** 40 nodes, of which two change otherwise. */
function samplePlan(): FleetPlan {
  const before = new Map<string, NodeTables>()
  const after = new Map<string, NodeTables>()
  for (let index = 1; index <= 40; index++) {
    const isOdd = index === 7 || index === 31
    before.set(node(index), tablesOf(settingsRow(), web([1, 2]), serviceRow('203.0.113.2', hosts([1]))))
    after.set(
      node(index),
      tablesOf(settingsRow({ mtu: isOdd ? 1400 : 9000 }), isOdd ? web([1, 2, 3]) : web([1])),
    )
  }
  const names = { 'service/203.0.113.1:80/tcp': 'web', 'service/203.0.113.2:80/tcp': 'api' }
  return planFleet({ base: '1'.repeat(40), head: '2'.repeat(40), before, after, names })
}

/** With everything in it that people could have written. */
function hostilePlan(): FleetPlan {
  const plan = samplePlan()
  const text = '<script>alert(1)</script> | `x` @everyone [a](http://b) & "q" \n## h \u0000'
  return {
    ...plan,
    risk: { ...plan.risk, line: text },
    services: plan.services.map(service => ({
      ...service,
      details: [text],
      at: { file: 'a b/<c>.yaml', line: 3, column: 5 },
    })),
    nodes: plan.nodes.map(each => ({ ...each, details: [text] })),
    objects: [
      {
        kind: 'Service',
        name: 'web',
        change: 'update',
        renamed_from: null,
        effect: 'none',
        fields: [],
        at: { file: 'a b/<c>.yaml', line: 3, column: 5 },
        file_before: null,
      },
    ],
  }
}

const anyPlan = arbitraryOf(FleetPlan) as fc.Arbitrary<FleetPlan>

test('the plan for a terminal', () => {
  assert.equal(
    renderTerminal(samplePlan(), { color: false }).replace(/Digest: .*/, 'Digest: …'),
    `high risk: service-removed (api), backend-share-removed (web)
111111111111 → 222222222222

- api  203.0.113.2:80/tcp  on all 40 nodes
    ! service-removed: the VIP and port stop being served; live connections end
    - 10.0.1.1                 100.0 % → 0.0 %

~ web  203.0.113.1:80/tcp  same on 38 of 40; lb-07 and lb-31 differ
    ! backend-share-removed: a third or more of the traffic loses its backend in one step
    moves 50.0 % of new flows (unavoidable: 50.0 %)
    ~ 10.0.1.1                 50.0 % → 100.0 %
    - 10.0.1.2                 50.0 % → 0.0 %
    10.0.1.2 → 10.0.1.1: 50.0 %

~ web  203.0.113.1:80/tcp  on 2 of 40: lb-07 and lb-31
    moves 33.4 % of new flows (unavoidable: 33.3 %)
    ~ 10.0.1.1                 50.0 % → 33.3 %
    ~ 10.0.1.2                 50.0 % → 33.3 %
    + 10.0.1.3                 0.0 % → 33.3 %
    10.0.1.2 → 10.0.1.3: 16.7 %
    10.0.1.1 → 10.0.1.3: 16.6 %
    10.0.1.1 → 10.0.1.2: 0.066 %
    10.0.1.2 → 10.0.1.1: 0.024 %

~ xdp settings  same on 38 of 40; lb-07 and lb-31 differ
    mtu: 1500 → 9000
~ xdp settings  on 2 of 40: lb-07 and lb-31
    mtu: 1500 → 1400

Plan: 0 to create, 40 to change, 40 to delete, 0 unchanged; 40 other changes on nodes.
Takes: 402 ms to the last node (by the number of edits); then services that go, until their flows have ended or the drain is over.
Way back: git restore --source=1111111111111111111111111111111111111111 --staged --worktree -- . && git commit -m 'Back to 111111111111' && git push
Digest: …
`,
  )
})

test('a comment has its marker first, risks on top and the way back, and is never longer than the limit', () => {
  const plan = samplePlan()
  const limits = fc.integer({ min: 6_000, max: 65_536 })
  fc.assert(
    fc.property(limits, fc.integer({ min: 0, max: 300 }), (limit, copies) => {
      const services = Array.from({ length: copies }, (_, index) =>
        plan.services.map(each => ({
          ...each,
          service: `${each.service}-${index}`,
          vip: `10.9.${index >> 8}.${index & 255}`,
        })),
      ).flat()
      const text = renderMarkdown({ ...plan, services }, { link: 'https://ci.example.org/1', limit })
      assert.ok(Buffer.byteLength(text) <= limit)
      assert.ok(text.startsWith(`${COMMENT_MARKER}\n### 🔴 Ballast plan: high risk`))
      assert.match(text, /git restore/)
      assert.match(text, /https:\/\/ci\.example\.org\/1/)
      assert.equal(
        text.includes('left out'),
        text.split('<details>').length - 1 < groupAlike(services).length,
      )
      // A table or a fold that was begun is ended.
      assert.equal(text.split('<details>').length, text.split('</details>').length)
    }),
    { numRuns: 15 },
  )
})

test('services that change alike are told once, each with its name', () => {
  const [one] = samplePlan().services
  const services = ['web', 'api'].map((service, index) => ({ ...one!, service, port: 8000 + index }))
  const other = { ...services[0]!, service: 'other', risk: [] }
  const plan = { ...samplePlan(), services: [...services, other] }
  const shown = renderTerminal(plan, { color: false })
  assert.match(shown, /^. web .*\n. api .*\n {4}/m)
  assert.equal(shown.split(explainRisk(one!.risk[0]!)).length, 2)
  assert.equal(renderMarkdown(plan, { link: null }).split('<details>').length, 3)
})

test('what people wrote is no markup in a comment, mentions nobody, and breaks no table', () => {
  const text = renderMarkdown(hostilePlan(), { link: null })
  const outside = text.replaceAll(/(`+)[^\n]*?[^`]\1(?!`)/g, '')
  assert.doesNotMatch(outside, /<script>|@everyone|http:\/\//)
  assert.doesNotMatch(text, /^## h/m)
  for (const row of text.split('\n').filter(line => /^\| (✏️|➕|➖)/u.test(line)))
    assert.equal(row.replaceAll('\\|', '').split('|').length, 10, row)
})

test('a page is whole: no script, nothing from elsewhere, two pictures for a change of shares', async () => {
  for (const plan of [samplePlan(), hostilePlan()]) {
    const page = await renderHtml(plan)
    assert.doesNotMatch(page, /<script|<link|<img|@import|url\(|\bsrc=/i)
    assert.match(page, /Content-Security-Policy/)
    assert.equal(page.split('<svg').length - 1, 5, 'api has no pair that moves')
    for (const opened of ['svg', 'section', 'table', 'ul', 'div'])
      assert.equal(page.split(`<${opened}`).length, page.split(`</${opened}>`).length, opened)
    assert.match(page, /10\.0\.1\.3/)
  }
})

test('JUnit fails the changes that have a risk worth failing, and is XML whatever the texts', () => {
  const text = renderJunit(hostilePlan())
  assert.match(text, /<testsuites name="ballast plan" tests="5" failures="2">/)
  assert.equal(text.split('<failure ').length - 1, 2)
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what must not be there
  assert.doesNotMatch(text, /\u0000|<script>/)
  assert.match(text, /file="a b\/&lt;c&gt;\.yaml" line="3"/)
  assert.equal(text.split('<testcase ').length, text.split('</testcase>').length)
})

test('a change that fails by several risks is one failure, whose text says them all; changes that differ have names that do', () => {
  const plan = samplePlan()
  const [service] = plan.services
  const risk = ['last-announcer' as const, 'service-removed' as const]
  const twice = ['lb-01', 'lb-02'].map(name => ({ ...service!, risk, nodes: [name] }))
  const text = renderJunit({ ...plan, services: twice, nodes: [], announcements: [] })
  const failures = [...text.matchAll(/<failure type="last-announcer" message="[^"]+">([^<]+)<\/failure>/g)]
  assert.equal(failures.length, 2)
  assert.equal(text.split('<failure').length - 1, 2)
  assert.match(failures[0]![1]!, /^last-announcer: .*&#10;service-removed: /)
  const names = [...text.matchAll(/<testcase [^>]*name="([^"]+)"/g)].map(([, name]) => name)
  assert.equal(new Set(names).size, 2)
})

test('every result of SARIF has a place, without which GitHub takes none of the file', () => {
  const at = { file: 'pools/web.yaml', line: 9, column: 15 }
  const gone = { file: 'services/dns.yaml', line: 5, column: 9 }
  const of = (change: 'update' | 'delete', where: typeof at): FleetPlan['objects'][number] => ({
    kind: 'Service',
    name: 'web',
    change,
    renamed_from: null,
    effect: 'none',
    fields: [],
    at: where,
    file_before: null,
  })
  const places = (objects: FleetPlan['objects']) => {
    const { results } = JSON.parse(renderSarif({ ...rolledPlan(), objects }, '1')).runs[0]
    return results.map(
      (each: { locations?: { physicalLocation: { artifactLocation: { uri: string } } }[] }) =>
        each.locations?.[0]?.physicalLocation.artifactLocation.uri,
    )
  }
  const placed = places([of('delete', gone), of('update', at)])
  assert.ok(placed.includes(at.file) && !placed.includes(undefined), `${placed}`)
  assert.ok(places([of('delete', gone)]).includes(gone.file))
  const { rollout, ...plan } = rolledPlan()
  // A guard looks at the tree as a whole.
  const refusals = rollout!.refusals.map(each => ({ ...each, at: { file: '.', line: 1, column: 1 } }))
  const refused = { ...plan, objects: [of('update', at)], rollout: { ...rollout!, refusals } }
  assert.doesNotMatch(renderSarif(refused, '1'), /"uri": "\."/)
  assert.doesNotMatch(renderJunit(refused), /file="\."/)
})

test('SARIF names a rule that it describes, a level, and the changed line', () => {
  const sarif = JSON.parse(renderSarif(hostilePlan(), '1.2.3'))
  const [run] = sarif.runs
  const rules = new Map(run.tool.driver.rules.map((rule: { id: string }) => [rule.id, rule]))
  assert.equal(run.results.length, 4)
  for (const { ruleId, level, locations, message } of run.results) {
    assert.ok(rules.has(ruleId))
    assert.match(level, /^(error|warning|note|none)$/)
    assert.ok(message.text.length > 0)
    assert.deepEqual(locations[0].physicalLocation, {
      artifactLocation: { uri: 'a%20b/%3Cc%3E.yaml', uriBaseId: 'SRCROOT' },
      region: { startLine: 3, startColumn: 5 },
    })
  }
  const again = JSON.parse(renderSarif({ ...hostilePlan(), head: '3'.repeat(40) }, '1.2.3')).runs[0].results
  const fingerprints = (list: { partialFingerprints: unknown }[]) =>
    list.map(each => each.partialFingerprints)
  assert.deepEqual(fingerprints(again), fingerprints(run.results), 'the same finding on the next push')
})

test('a comment fits however much of it is refused or drifted, and has the first of it on top', () => {
  const plan = hostilePlan()
  const many = Array.from({ length: 3_000 }, (_, index) => index)
  const refusals = many.map(index => ({
    ...{ rule: 'guard-backends', severity: 'error' as const, hint: 'Do it in several steps.' },
    ...{ message: `web-${index}: 75 % of its backends would go.`, at: { file: '.', line: 1, column: 1 } },
  }))
  const rollout: RolloutPreview = {
    ...{ refusals, waves: [], bake_ms: 0, max_in_change: null, splits: [], unjudged: [] },
    ...{ frozen: [], freeze_override: null },
  }
  const differs = many.map(index => ({
    key: `service/203.0.113.1:${index + 1}/tcp` as const,
    nodes: ['lb-1'],
  }))
  const live = { at: 0, nodes_reporting: 1, nodes_silent: [], differs }
  const shown = renderMarkdown({ ...plan, rollout, live }, { link: null })
  assert.ok(Buffer.byteLength(shown) <= 65_536, `${Buffer.byteLength(shown)} bytes`)
  assert.match(shown, /web-0: 75 %[\s\S]*web-9: 75 %[\s\S]*And 5980 more of these at the end/)
  const whole = renderMarkdown({ ...plan, rollout, live }, { link: null, limit: 2_000_000 })
  assert.match(whole, /web-2999: 75 %/)
})

test('every plan of the schema can be shown in every form', async () => {
  const plans = fc.sample(anyPlan, 15)
  for (const sample of plans) {
    const { rollout, ...rest } = sample
    const plan: FleetPlan = {
      ...rest,
      services: sample.services.map(each => ({
        ...each,
        vip: '2001:db8::1',
        renamed_from: each.renamed_from && { ...each.renamed_from, vip: '2001:db8::2' },
      })),
      // Times beyond what a calendar has.
      ...(rollout !== undefined && { rollout: { ...rollout, frozen: [{ nodes: ['lb-1'], until: 0 }] } }),
    }
    const drawn = { ...plan, services: plan.services.slice(0, 2) }
    for (const text of [
      renderTerminal(plan, { color: true }),
      renderMarkdown(plan, { link: null }),
      renderJunit(plan),
      renderSarif(plan, '1'),
      await renderHtml(drawn),
    ])
      assert.ok(text.length > 50)
  }
})

test('names and numbers of a plan are data of its pictures, and never a part of their code', async () => {
  const plan = samplePlan()
  const [service] = plan.services
  const share = { share_before: 0.5, share_after: 0.4 }
  const impact = {
    ...service!.impact,
    slots: 0,
    backends: [{ ...share, address: 'valueOf' }],
    moves: [{ from: 'toString', to: null, slots: 1 }],
  }
  const page = await renderHtml({ ...plan, services: [{ ...service!, impact }] })
  assert.match(page, /<svg[\s\S]*>valueOf<\/text>/)
})

/** Refused by a guard at a line, frozen on one node, in waves that split the announcers of a VIP. */
function rolledPlan(): FleetPlan {
  const at = { file: 'services/web.yaml', line: 7, column: 3 }
  return {
    ...samplePlan(),
    rollout: {
      refusals: [
        { rule: 'guard-backends', severity: 'error', message: 'web: 75 % go.', hint: 'Override it.', at },
      ],
      waves: [
        { name: 'canary', nodes: ['lb-01'] },
        { name: 'fleet', nodes: ['lb-02', 'lb-03'] },
      ],
      bake_ms: 600_000,
      unjudged: [],
      max_in_change: 1,
      splits: [
        { service: 'web', vip: '203.0.113.1', wave: 'canary', changed: 1, announcers: 3, at_risk: 0.22 },
      ],
      frozen: [{ nodes: ['lb-03'], until: Date.parse('2026-11-23T07:00:00Z') }],
      freeze_override: null,
    },
  }
}

test('every form says that a guard refuses, what is frozen, which waves there are and what they put at risk', async () => {
  const plan = rolledPlan()
  const forms = {
    terminal: renderTerminal(plan, { color: false }),
    markdown: renderMarkdown(plan, { link: null }).replaceAll(/[\\\u200b]/g, ''),
    html: (await renderHtml(plan)).replaceAll('&nbsp;', ' '),
    junit: renderJunit(plan),
    sarif: renderSarif(plan, '1'),
  }
  for (const [form, text] of Object.entries(forms))
    for (const said of [
      'Refused by guard-backends: web: 75 % go. Override it.',
      'lb-03: frozen until 2026-11-23 07:00 UTC; applied then.',
      'fleet (lb-02 and lb-03), each baking 10 min; at most 1 of a VIP',
      '22.0 % meet another backend',
      ...(form === 'sarif' ? [] : ['would be refused by guard-backends; high risk']),
      ...(form === 'sarif' || form === 'junit' ? [] : ['10 min of baking before the last wave']),
    ])
      assert.ok(text.includes(said), `${form} does not say: ${said}`)
  assert.match(
    forms.junit,
    /name="refused by guard-backends" file="services\/web.yaml" line="7"><failure type="guard-backends"/,
  )
  const [run] = JSON.parse(forms.sarif).runs
  const refusal = run.results.find(({ ruleId }: { ruleId: string }) => ruleId === 'guard-backends')
  assert.equal(refusal.level, 'error')
  assert.equal(refusal.locations[0].physicalLocation.region.startLine, 7)
  const ids = new Set(run.tool.driver.rules.map(({ id }: { id: string }) => id))
  for (const { ruleId } of run.results) assert.ok(ids.has(ruleId), `${ruleId} is explained nowhere`)
})

test('without the services that stay as they are, Markdown says the same', () => {
  const [first] = samplePlan().services
  const elsewhere = { ...first!, change: 'unchanged' as const, nodes: ['lb-07'] }
  const apart = { ...samplePlan(), services: [...samplePlan().services, elsewhere] }
  for (const plan of [samplePlan(), hostilePlan(), rolledPlan(), apart]) {
    const less = withoutUnchanged(plan)
    assert.equal(renderMarkdown(less, { link: null }), renderMarkdown(plan, { link: null }))
    const changed = new Set(changedServices(plan).map(idOf))
    assert.ok(less.services.every(service => changed.has(idOf(service))))
  }
  const services = samplePlan().services.map(each => ({
    ...each,
    change: 'unchanged' as const,
    renamed_from: null,
  }))
  assert.deepEqual(withoutUnchanged({ ...samplePlan(), services }).services, [])
})

test('a plan that writes nothing takes no time', () => {
  const nothing = {
    ...samplePlan(),
    duration: { expected: 0, basis: 'modelled', waits: [] },
  } satisfies FleetPlan
  assert.match(
    renderTerminal(nothing, { color: false }),
    /Takes: no time: nothing is written on any node\.\n/,
  )
})

test('every form says how what moves was computed, where that is not slot by slot of a ring', async () => {
  const plan = samplePlan()
  const of = (basis: FleetPlan['services'][number]['impact']['basis']): FleetPlan => ({
    ...plan,
    services: plan.services.map(each => ({ ...each, impact: { ...each.impact, basis } })),
  })
  for (const [basis, said] of [
    ['weights', 'moves at least 50.0 % of new flows, by weights'],
    ['table', "by the kernel's own table"],
    ['independent', 'since they are chosen by another hash'],
  ] as const)
    for (const text of [
      renderTerminal(of(basis), { color: false }),
      renderMarkdown(of(basis), { link: null }),
      (await renderHtml(of(basis))).replaceAll('&nbsp;', ' '),
      renderJunit(of(basis)).replaceAll('&apos;', "'"),
      renderSarif(of(basis), '1'),
    ])
      assert.ok(text.includes(said), said)
})
