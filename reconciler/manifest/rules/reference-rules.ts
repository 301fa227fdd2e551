import { suggest } from '../suggest.ts'
import type { Rule } from './rule.ts'

const backendsOneSource: Rule = {
  id: 'backends-one-source',
  severity: 'error',
  local: true,
  *check({ services }) {
    for (const service of services) {
      const { backends, pool } = service.spec
      if (backends === undefined && pool === undefined)
        yield {
          at: service.locate(['spec']),
          message: `Service ${service.metadata.name} has no backends.`,
          hint: 'Add spec.backends, or the name of a BackendPool as spec.pool.',
        }
      if (backends !== undefined && pool !== undefined)
        yield {
          at: service.locate(['spec', 'pool']),
          message: `Service ${service.metadata.name} has backends of its own and names the pool ${pool}.`,
          hint: 'Keep one of spec.backends and spec.pool.',
        }
    }
  },
}

const poolExists: Rule = {
  id: 'pool-exists',
  severity: 'error',
  *check({ services, pools, mayExist }) {
    for (const service of services) {
      const { pool } = service.spec
      if (pool === undefined || pools.has(pool) || mayExist('BackendPool', pool)) continue
      yield {
        at: service.locate(['spec', 'pool']),
        message: `There is no BackendPool ${pool}.`,
        hint: suggest(pool, [...pools.keys()], 'Add one of this name, or name one that exists.'),
      }
    }
  },
}

const nodeExists: Rule = {
  id: 'node-exists',
  severity: 'error',
  *check({ services, nodes, mayExist }) {
    const known = new Set(nodes.map(({ metadata }) => metadata.name))
    for (const service of services)
      for (const [index, name] of (service.spec.nodes.names ?? []).entries())
        if (!known.has(name) && !mayExist('Node', name))
          yield {
            at: service.locate(['spec', 'nodes', 'names', index]),
            message: `There is no Node ${name}.`,
            hint: suggest(name, [...known], 'Add one of this name, or name one that exists.'),
          }
  },
}

const selectorEmpty: Rule = {
  id: 'selector-empty',
  severity: 'warning',
  *check({ services, nodesOf, nodes, mayExist }) {
    const known = new Set(nodes.map(({ metadata }) => metadata.name))
    if (mayExist('Node', null)) return
    for (const service of services) {
      const { names } = service.spec.nodes
      const unknown = names?.some(name => !known.has(name)) === true
      if (unknown || nodesOf(service).length > 0) continue
      yield {
        at: service.locate(['spec', 'nodes']),
        message: `No node serves ${service.metadata.name}: none is what spec.nodes asks for.`,
        hint: 'Compare spec.nodes with the names and labels of the Nodes.',
      }
    }
  },
}

export const referenceRules: readonly Rule[] = [backendsOneSource, poolExists, nodeExists, selectorEmpty]
