import { addressToBytes } from '../../../../schemas/address.ts'
import type { RowKey } from '../../../../schemas/node-state.ts'
import { runCommand } from '../../../process/run-command.ts'
import type { Dataplane } from '../dataplane.ts'
import type { KnownServices } from '../known-services.ts'
import { readAddress, structs } from '../layout.ts'
import { readEntries } from '../libbpf/maps.ts'
import { deleteKeys, writeEntries } from '../map-entries.ts'
import { membersIn } from '../members.ts'
import { chooseNextHops, type NextHop } from './choose-next-hops.ts'
import { parseDirectRoutes, parseLinks, parseNeighbours } from './parse-neighbours.ts'

/** How the backends of `forwarding: l2` stand: those whose link address is not known get no new flows. */
export interface NextHopState {
  readonly resolved: number
  readonly unresolved: string[]
}

export interface RefreshedNextHops {
  /** Link addresses by backend. */
  readonly known: ReadonlyMap<string, string>
  readonly unresolved: readonly string[]
}

/** Addresses of the backends that are reached by their link addresses, of these services or of all. */
export function l2Backends(known: KnownServices, rowKeys: Iterable<RowKey> = known.keys()): Set<string> {
  const addresses = new Set<string>()
  for (const rowKey of rowKeys) {
    const ring = known.get(rowKey)
    if (ring?.row.encapsulation !== 'l2') continue
    for (const { address } of membersIn(ring.members)) addresses.add(address)
  }
  return addresses
}

/** As the packet path has it. */
export async function readNextHopState(
  { maps }: Dataplane,
  wanted: ReadonlySet<string>,
): Promise<NextHopState> {
  const present = await readNextHops(maps.next_hops)
  const unresolved = [...wanted].filter(address => !present.has(address)).sort()
  return { resolved: wanted.size - unresolved.length, unresolved }
}

/**
 * Gives the packet path what the kernel of this network namespace knows of the backends' link addresses, and has the
 * kernel ask for those that it does not know or has not heard of lately. Idempotent; meant to be called again and
 * again. Throws `COMMAND_*`.
 */
export async function refreshNextHops(
  { maps }: Dataplane,
  wanted: ReadonlySet<string>,
): Promise<RefreshedNextHops> {
  const present = await readNextHops(maps.next_hops)
  if (wanted.size === 0 && present.size === 0) return { known: new Map(), unresolved: [] }
  const [neighbours, links] = await Promise.all([
    runCommand('ip', ['-j', 'neigh', 'show']),
    runCommand('ip', ['-d', '-j', 'link', 'show']),
  ])
  const chosen = chooseNextHops(wanted, parseNeighbours(neighbours.stdout), {
    links: parseLinks(links.stdout),
    present,
  })
  const changed = [...chosen.known].filter(([address, hop]) => !isSame(present.get(address), hop))
  await writeEntries(
    maps.next_hops,
    changed.map(([address, hop]) => [addressToBytes(address), encodeNextHop(hop)]),
  )
  const gone = [...present.keys()].filter(address => !chosen.known.has(address))
  await deleteKeys(maps.next_hops, gone.map(addressToBytes))
  await askFor(chosen.ask)
  return {
    known: new Map([...chosen.known].map(([address, { to }]) => [address, to])),
    unresolved: [...wanted].filter(address => !chosen.known.has(address)).sort(),
  }
}

/** Entries that are there already keep their link address while the kernel asks. */
async function askFor(asked: readonly { address: string; device: string | null }[]): Promise<void> {
  const unknown = asked.filter(({ device }) => device === null).map(({ address }) => address)
  const devices = unknown.length === 0 ? new Map<string, string>() : await findDevices(unknown)
  const lines = asked.flatMap(({ address, device }) => {
    const found = device ?? devices.get(address)
    return found === undefined ? [] : [`neigh replace ${address} dev ${found} use`]
  })
  if (lines.length > 0) await runBatch([], lines)
}

async function findDevices(addresses: readonly string[]): Promise<Map<string, string>> {
  const { stdout } = await runBatch(
    ['-j'],
    addresses.map(address => `route get ${address}`),
  )
  return parseDirectRoutes(stdout)
}

/** One that fails, for instance for want of a route, does not stop the rest. */
const runBatch = (flags: readonly string[], lines: readonly string[]) =>
  runCommand('ip', [...flags, '-force', '-batch', '-'], {
    input: `${lines.join('\n')}\n`,
    okExitCodes: [0, 1, 2],
  })

async function readNextHops({
  fd,
  info,
}: Dataplane['maps']['next_hops']): Promise<ReadonlyMap<string, NextHop>> {
  const { keys, values, count } = await readEntries(fd, info)
  const { size } = structs.next_hop
  return new Map(
    Array.from({ length: count }, (_, i) => [
      readAddress(keys, 16 * i),
      decodeNextHop(values.subarray(size * i, size * (i + 1))),
    ]),
  )
}

export function encodeNextHop({ to, from, ifindex }: NextHop): Buffer {
  const { size, fields } = structs.next_hop
  const bytes = Buffer.alloc(size)
  bytes.set(linkBytes(to), fields.to)
  bytes.set(linkBytes(from), fields.from)
  bytes.writeUInt32LE(ifindex, fields.ifindex)
  return bytes
}

function decodeNextHop(bytes: Buffer): NextHop {
  const { fields } = structs.next_hop
  const text = (at: number): string =>
    bytes
      .toString('hex', at, at + 6)
      .match(/../g)!
      .join(':')
  return { to: text(fields.to), from: text(fields.from), ifindex: bytes.readUInt32LE(fields.ifindex) }
}

const linkBytes = (text: string): Buffer => Buffer.from(text.replaceAll(':', ''), 'hex')

const isSame = (a: NextHop | undefined, b: NextHop): boolean =>
  a !== undefined && a.to === b.to && a.from === b.from && a.ifindex === b.ifindex
