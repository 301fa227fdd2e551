import type { Node } from '../../schemas/manifest/node.ts'
import type { NodeSelector } from '../../schemas/manifest/service.ts'

/** The nodes that meet all that a selector asks for, in the order given. */
export function selectNodes<N extends Node>(selector: NodeSelector, nodes: readonly N[]): readonly N[] {
  const labels = Object.entries(selector.matchLabels ?? {})
  if (labels.length === 0 && selector.names === undefined) return nodes
  const names = selector.names === undefined ? null : new Set(selector.names)
  return nodes.filter(
    ({ metadata }) =>
      (names === null || names.has(metadata.name)) &&
      labels.every(([key, value]) => Object.hasOwn(metadata.labels, key) && metadata.labels[key] === value),
  )
}
