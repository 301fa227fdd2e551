import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { openForgePages } from '../../reconciler/commands/forge-pages.ts'
import { serveApp } from './serve-app.ts'

test('a page is shown by the very name that it has, and nothing else of the disk is', async t => {
  const { fetch } = await serveApp(t)
  const id = 'a'.repeat(64)
  const page = await fetch(`/pages/plans/${id}`)
  assert.equal(page.status, 200)
  assert.match(page.headers.get('content-type') ?? '', /^text\/html/)
  assert.match(
    page.headers.get('content-security-policy') ?? '',
    /default-src 'none'; style-src 'unsafe-inline'/,
  )
  for (const path of [
    `plans/${'b'.repeat(64)}`,
    `revisions/${id}`,
    'plans/..%2f..%2fa',
    `plans/${id}.html`,
    'x/a',
  ])
    assert.equal((await fetch(`/pages/${path}`)).status, 404, path)
})

test('the newest pages are kept, and none where nobody could reach them', async t => {
  const dir = mkdtempSync(join(tmpdir(), 'ballast-pages-'))
  t.after(() => rmSync(dir, { recursive: true }))
  assert.equal(await openForgePages(dir, undefined).put('plans', 'a'.repeat(64), 'x'), null)
  const pages = openForgePages(dir, 'https://ballast.example.org/x/')
  const idOf = (n: number): string => n.toString(16).padStart(40, '0')
  for (let n = 0; n < 203; n += 1)
    assert.equal(
      await pages.put('revisions', idOf(n), `page ${n}`),
      `https://ballast.example.org/x/pages/revisions/${idOf(n)}`,
    )
  assert.equal(await pages.read('revisions', idOf(202)), 'page 202')
  const kept = await Promise.all(Array.from({ length: 203 }, (_, n) => pages.read('revisions', idOf(n))))
  assert.equal(kept.filter(page => page !== null).length, 200)
})
