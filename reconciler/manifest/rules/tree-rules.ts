import type { Manifest } from '../manifest.ts'
import type { Rule } from './rule.ts'

const treeEmpty: Rule = {
  id: 'tree-empty',
  severity: 'error',
  *check({ tree, root, mayExist }) {
    if (tree.manifests.length > 0 || mayExist('Fleet', null) || tree.broken.length > 0) return
    yield {
      at: root,
      message: `There is no manifest of Ballast here (${tree.ignored} documents belong to others).`,
      hint: 'Look at the path that Ballast reads, and at .ballastignore. To take a fleet down, remove its services and keep its Fleet.',
    }
  },
}

const fleetOne: Rule = {
  id: 'fleet-one',
  severity: 'error',
  *check({ tree, root, fleets, mayExist }) {
    const [first, ...others] = fleets
    if (first === undefined && tree.manifests.length > 0 && !mayExist('Fleet', null))
      yield {
        at: root,
        message: 'There is no Fleet, and its name is what all nodes share.',
        hint: 'Add a manifest of kind Fleet; metadata.name is all that it needs.',
      }
    for (const other of others)
      yield {
        at: other.at,
        message: `There is already a Fleet at ${placeOf(first!)}, and a repository holds one.`,
        hint: 'Keep one of them.',
      }
  },
}

const fleetKey: Rule = {
  id: 'fleet-key',
  severity: 'warning',
  *check({ fleets }) {
    for (const { spec, at, metadata } of fleets)
      if (spec.fleetKey === undefined)
        yield {
          at,
          message: `The key of the hash is made from the name ${metadata.name}: whoever knows the name can aim all of their flows at one backend.`,
          hint: 'Put 16 random bytes in a key file on every node, and their fingerprint in spec.fleetKey.',
        }
  },
}

const nameUnique: Rule = {
  id: 'name-unique',
  severity: 'error',
  *check({ tree }) {
    const first = new Map<string, Manifest>()
    for (const manifest of tree.manifests) {
      // Of Fleets there is one, whatever their names: fleet-one says so.
      if (manifest.kind === 'Fleet') continue
      const id = `${manifest.kind} ${manifest.metadata.name}`
      const earlier = first.get(id)
      if (earlier === undefined) first.set(id, manifest)
      else
        yield {
          at: manifest.at,
          message: `There is already a ${id} at ${placeOf(earlier)}.`,
          hint: 'Give one of them another name.',
        }
    }
  },
}

/** `services/web.yaml:7` */
const placeOf = ({ at }: Manifest) => `${at.file}:${at.line}`

export const treeRules: readonly Rule[] = [treeEmpty, fleetOne, fleetKey, nameUnique]
