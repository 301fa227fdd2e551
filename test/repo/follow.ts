import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { createLog } from '../../reconciler/log/log.ts'
import { openSource, type Source, type SourceOptions } from '../../reconciler/repo/source.ts'
import { makeRepository, type TestRepository, temporaryFolder, useRepository } from './make-repository.ts'

/** A work tree that pushes to `fleet.git` in a folder that a server can serve. */
export function makeRemote(t: TestContext): { root: string; bare: TestRepository; work: TestRepository } {
  const root = temporaryFolder(t)
  const work = makeRepository(t)
  work.git('init', '--quiet', '--bare', '--initial-branch=main', join(root, 'fleet.git'))
  work.git('remote', 'add', 'origin', join(root, 'fleet.git'))
  return { root, work, bare: useRepository(join(root, 'fleet.git')) }
}

export const push = (work: TestRepository, name: string, ...flags: string[]): string => {
  work.write(`${name}.yaml`, `name: ${name}\n`)
  const revision = work.commit(name)
  work.git('push', '--quiet', ...flags, 'origin', 'main')
  return revision
}

export interface Opened {
  readonly source: Source
  readonly stateDir: string
  /** What was logged. */
  said(): string
}

export async function open(
  t: TestContext,
  repo: string,
  options: Partial<SourceOptions> = {},
): Promise<Opened> {
  let said = ''
  const destination = {
    write(line: string) {
      said += line
      return true
    },
  }
  const stateDir = options.stateDir ?? temporaryFolder(t)
  const source = await openSource({
    repo,
    branch: 'main',
    stateDir,
    pollInterval: 100,
    http: {
      credentials: { kind: 'none' },
      caFile: undefined,
      proxy: undefined,
      proxyPasswordFile: undefined,
    },
    ssh: { keyFile: undefined, knownHostsFile: undefined },
    log: createLog({ level: 'info', format: 'json', destination }),
    ...options,
  })
  t.after(() => source.close())
  return { source, stateDir, said: () => said }
}

export async function until(what: string, isSo: () => boolean | Promise<boolean>): Promise<void> {
  const end = Date.now() + 30_000
  while (!(await isSo())) {
    if (Date.now() > end) throw new Error(`not within 30 s: ${what}`)
    await delay(20)
  }
}
