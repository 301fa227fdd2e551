import type { Diagnostic } from '../../schemas/diagnostic.ts'
import type { Revision } from '../../schemas/want.ts'
import { buildDesired, type DesiredFleet } from '../desired/build-desired.ts'
import { stepRules } from '../manifest/check-rules.ts'
import type { Manifest } from '../manifest/manifest.ts'
import { createManifestCache, type ManifestCache } from '../manifest/manifest-cache.ts'
import { parseAhead, parseManifests } from '../manifest/parse-manifests.ts'
import { sortDiagnostics } from '../manifest/render-diagnostic.ts'
import { createBreather, inSteps } from '../process/breather.ts'
import type { Repository, Snapshot } from '../repo/repository.ts'
import type { TimePhase } from './controller-event.ts'

/** What a revision asks for; `fleet` is null when it is refused, and the diagnostics say why. */
export interface Evaluation {
  readonly revision: Revision
  readonly fleet: DesiredFleet | null
  /** Of what is valid, whether the revision is or not. */
  readonly manifests: readonly Manifest[]
  readonly diagnostics: readonly Diagnostic[]
}

/** Webhooks can wait for as long. */
const SLICE_MS = 5

export type Evaluate = (revision: Revision) => Promise<Evaluation>

/**
 * Evaluates one revision after the other; what a revision shares with the last one is neither read nor parsed again. Lets others
 * run in between: webhooks are answered while a push is judged.
 */
export function createEvaluator(
  repository: Repository,
  path: string,
  time: TimePhase = (_phase, work) => work(),
): Evaluate {
  const cache: ManifestCache = createManifestCache()
  let previous: Snapshot | undefined
  return async revision => {
    const request = previous === undefined ? { path } : { path, previous }
    const snapshot = await time('snapshot', () => repository.snapshot(revision, request))
    previous = snapshot
    return evaluateSnapshot(snapshot, cache, time)
  }
}

async function evaluateSnapshot(
  snapshot: Snapshot,
  cache: ManifestCache,
  time: TimePhase,
): Promise<Evaluation> {
  const breathe = createBreather({ slice: SLICE_MS })
  const files = Array.from(snapshot.files, ([file, { oid, text }]) => ({ path: file, text, id: oid }))
  const { tree, found } = await time('parse', async () => {
    await inSteps(parseAhead(files, cache), breathe)
    const parsed = parseManifests(files, { cache })
    await breathe()
    // What could not be read is said; that it is missing would be said in vain.
    const incomplete = parsed.incomplete || snapshot.diagnostics.length > 0
    return { tree: parsed, found: await inSteps(stepRules(parsed, { incomplete }), breathe) }
  })
  const diagnostics = sortDiagnostics([...snapshot.diagnostics, ...tree.diagnostics, ...found])
  await breathe()
  const refused = diagnostics.some(({ severity }) => severity === 'error')
  return {
    revision: snapshot.revision,
    fleet: refused ? null : await time('desired', async () => buildDesired(tree.manifests)),
    manifests: tree.manifests,
    diagnostics,
  }
}
