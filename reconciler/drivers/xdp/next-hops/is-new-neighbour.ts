/**
 * Pure. Whether a line of `ip -o monitor neigh` says that packets to a backend should go elsewhere than they do, or nowhere. What the
 * kernel forgets or asks for moves none: what is there stays until it has asked in vain.
 */
export function isNewNeighbour(line: string, linkAddresses: ReadonlyMap<string, string | null>): boolean {
  const address = line.slice(0, line.indexOf(' '))
  const known = linkAddresses.get(address)
  if (known === undefined) return false
  const words = line.trim().split(/\s+/)
  if (words.at(-1) === 'FAILED') return known !== null
  const at = words.indexOf('lladdr')
  return at >= 0 && words[at + 1] !== known
}
