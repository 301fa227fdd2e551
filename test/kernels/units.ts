import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { runCommand } from '../../reconciler/process/run-command.ts'
import { bundle } from './bundle.ts'
import { findMissing, REPORT, runInGuest } from './guest.ts'
import { REPORTER, ROOT, testCommand, testInside } from './suite.ts'

/**
 * A release under a systemd that runs, in an emulated machine. It takes minutes, most of which Node starts in, so that
 * `npm run test:kernels` runs it and `npm test` does not.
 */

const inside = (name: string): string => resolve(import.meta.dirname, 'inside', name)
const BUILD_LIMIT_MS = 100_000

testInside('a release under systemd', findMissing('6.1') || false, async () => {
  // Where another kernel sees it, too: it has a folder of its own for what is temporary.
  const place = await mkdtemp(join(ROOT, 'node_modules/.cache/release-'))
  try {
    const build = [join(ROOT, 'reconciler/build/build.ts'), join(place, 'dist')]
    const { stdout } = await runCommand(process.execPath, build, { timeout: BUILD_LIMIT_MS })
    await runCommand('tar', ['-xzf', stdout.trim(), '-C', place, '--no-same-owner'])
    const release = join(place, (await readdir(place)).find(name => name.startsWith('ballast-'))!)
    await using bundles = await bundle([REPORTER, inside('units.ts')])
    return await runInGuest({
      kernel: '6.1',
      modules: ['veth'],
      command: ['exec', '/bin/sh', inside('boot.sh'), release, ...testCommand(bundles.files, REPORT)],
      limit: 900_000,
    })
  } finally {
    await rm(place, { recursive: true })
  }
})
