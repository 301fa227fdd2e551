import { readFile, rm, writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { protocolOf } from '../../reconciler/drivers/bgp/bird/names.ts'
import { encodeIndex, encodeRing, encodeServiceKey, type Ring } from '../../reconciler/drivers/xdp/layout.ts'
import { openMapById } from '../../reconciler/drivers/xdp/libbpf/info.ts'
import { updateLink } from '../../reconciler/drivers/xdp/libbpf/links.ts'
import { updateEntry } from '../../reconciler/drivers/xdp/libbpf/maps.ts'
import { openPin, pinObject, unpin } from '../../reconciler/drivers/xdp/libbpf/pins.ts'
import { nodePins } from '../../reconciler/drivers/xdp/node-pins.ts'
import { createRingMap } from '../../reconciler/drivers/xdp/ring-map.ts'
import type { Lab } from '../../reconciler/lab/lab.ts'
import { askBird, birdPlace, configOf, pidFileOf, startBird } from '../../reconciler/lab/routing.ts'
import { waitUntil } from '../../reconciler/lab/wait-until.ts'
import { runCommand } from '../../reconciler/process/run-command.ts'
import { addressToBytes } from '../../schemas/address.ts'
import type { XdpServiceRow } from '../../schemas/node-state.ts'
import { findService } from '../drivers/xdp/kernel.ts'

/** What somebody does to a load balancer behind Ballast's back, and what has to be found of it. */
export interface Injection {
  /** As docs/drift.md names it. */
  readonly name: string
  readonly node: string
  /** The row in which it must show, and how. */
  readonly driver: 'xdp' | 'bgp'
  readonly key: string
  readonly kind: string
  /** VIPs that may lose packets by it until it is repaired; all: whatever comes to the node. */
  readonly touches: readonly string[] | 'all'
  inject(): Promise<void>
}

/** One that the fleet has on all nodes, of TCP port 80. */
export interface Victim {
  readonly vip: string
}

const TCP = 'tcp'
const PORT = 80
const OBJECTS = resolve(import.meta.dirname, '../../bpf/build')
const rowKey = ({ vip }: Victim): string => `service/${vip}:${PORT}/${TCP}`
const keyOf = ({ vip }: Victim): Buffer => encodeServiceKey({ vip, port: PORT, protocol: TCP })
const decimal = (bytes: Uint8Array): string[] => Array.from(bytes, String)

/** What its ring is found by. */
const serviceOf = ({ vip }: Victim) => ({ vip, port: PORT, protocol: TCP }) as XdpServiceRow

const pinsOn = (lab: Lab, node: string) => nodePins(lab.bpffs, node)

const bpftool = (lab: Lab, node: string, ...args: string[]) =>
  runCommand(...lab.on(node, ['bpftool', ...args]))

let asides = 0
/** A pin of its own for each: several may be under way. */
const nextAside = (root: string): string => join(root, `by-hand-${asides++}`)

/** Puts a ring in the place of a service's by bpftool: a frozen one takes no writes. Gives what puts the old one back. */
async function replaceRing(
  lab: Lab,
  node: string,
  victim: Victim,
  change: (ring: Ring) => Ring,
): Promise<() => Promise<void>> {
  const pins = pinsOn(lab, node)
  const { id, mapId, ring } = findService(pins, serviceOf(victim))
  const before = openMapById(mapId)!
  using made = await createRingMap(encodeRing(change(ring)))
  const aside = nextAside(pins.root)
  unpin(aside)
  pinObject(made.fd, aside)
  const entry = ['map', 'update', 'pinned', pins.map('rings'), 'key', ...decimal(encodeIndex(id))]
  await bpftool(lab, node, ...entry, 'value', 'pinned', aside)
  unpin(aside)
  return async () => {
    using rings = openPin(pins.map('rings'))
    updateEntry(rings!.fd, encodeIndex(id), encodeIndex(before.fd))
    before.close()
  }
}

/** Some slots of a ring that lead to somebody else. */
function swapSlots(ring: Ring): Ring {
  const indexes = [...ring.members.keys()]
  for (let slot = 0; slot < 1_000; slot++)
    ring.slots[slot] = indexes[(ring.slots[slot]! + 1) % indexes.length]!
  return ring
}

/** A ring as it would be without its last backend. */
function dropBackend(ring: Ring): Ring {
  const last = ring.members.findLastIndex(member => member !== undefined)
  const members = ring.members.with(last, undefined)
  const slots = ring.slots.map(index => (index === last ? (last === 0 ? 1 : 0) : index))
  return { ...ring, members, slots }
}

/**
 * Makes BIRD read an edited copy of Ballast's file. One that is edited where it is, and not read yet, is put back by a worker that
 * looks just then, and BIRD reads it as it was.
 */
async function editBird(lab: Lab, node: string, edit: (text: string) => string): Promise<void> {
  const { file } = birdPlace(lab, node)
  const text = await readFile(file, 'utf8')
  const edited = edit(text)
  if (edited === text) throw new Error(`nothing to edit in ${file}`)
  const [aside, main] = [`${file}.by-hand`, `${configOf(lab, node)}.by-hand`]
  await writeFile(aside, edited)
  const own = await readFile(configOf(lab, node), 'utf8')
  await writeFile(main, own.replace(/^include .*$/m, `include "${aside}";`))
  await askBird(lab, node, 'configure', `"${main}"`)
}

const lineOf = ({ vip }: Victim): RegExp => new RegExp(`^ *route ${vip.replaceAll('.', '\\.')}/32 .*$`, 'm')

/** Every kind of drift of docs/drift.md that a load balancer without IPVS can have. */
export const INJECTIONS: Readonly<
  Record<string, (lab: Lab, node: string, victim: Victim) => Omit<Injection, 'name' | 'node'>>
> = {
  'service missing': (lab, node, victim) => ({
    ...{ driver: 'xdp', key: rowKey(victim), kind: 'missing', touches: [victim.vip] },
    async inject() {
      const map = pinsOn(lab, node).map('services')
      await bpftool(lab, node, 'map', 'delete', 'pinned', map, 'key', ...decimal(keyOf(victim)))
    },
  }),
  'service unexpected': (lab, node, victim) => {
    const vip = victim.vip.replace(/^203\.0\.113\./, '198.51.100.')
    return {
      ...{ driver: 'xdp', key: `service/${vip}:${PORT}/${TCP}`, kind: 'unexpected', touches: [] },
      async inject() {
        const { id } = findService(pinsOn(lab, node), serviceOf(victim))
        const map = pinsOn(lab, node).map('services')
        const entry = ['key', ...decimal(keyOf({ vip })), 'value', ...decimal(encodeIndex(id))]
        await bpftool(lab, node, 'map', 'update', 'pinned', map, ...entry)
      },
    }
  },
  'service changed': (lab, node, victim) => ({
    ...{ driver: 'xdp', key: rowKey(victim), kind: 'changed', touches: [] },
    async inject() {
      await replaceRing(lab, node, victim, dropBackend)
    },
  }),
  'ring differs': (lab, node, victim) => ({
    ...{ driver: 'xdp', key: rowKey(victim), kind: 'changed', touches: [] },
    async inject() {
      await replaceRing(lab, node, victim, swapSlots)
    },
  }),
  'VIP removed': (lab, node, victim) => ({
    ...{ driver: 'xdp', key: rowKey(victim), kind: 'changed', touches: [victim.vip] },
    async inject() {
      const map = pinsOn(lab, node).map('vips')
      await bpftool(lab, node, 'map', 'delete', 'pinned', map, 'key', ...decimal(addressToBytes(victim.vip)))
    },
  }),
  'program detached': (lab, node) => ({
    ...{ driver: 'xdp', key: 'interface/eth0', kind: 'missing', touches: 'all' },
    async inject() {
      await bpftool(lab, node, 'link', 'detach', 'pinned', pinsOn(lab, node).link('eth0'))
    },
  }),
  'program replaced': (lab, node) => ({
    ...{ driver: 'xdp', key: 'interface/eth0', kind: 'changed', touches: 'all' },
    async inject() {
      const pins = pinsOn(lab, node)
      const aside = nextAside(pins.root)
      unpin(aside)
      await bpftool(lab, node, 'prog', 'load', join(OBJECTS, 'pass.bpf.o'), aside)
      using program = openPin(aside)
      using link = openPin(pins.link('eth0'))
      updateLink(link!.fd, program!.fd)
      unpin(aside)
    },
  }),
  'pin removed': (lab, node) => ({
    ...{ driver: 'xdp', key: 'settings', kind: 'missing', touches: [] },
    async inject() {
      await rm(pinsOn(lab, node).map('flows'))
    },
  }),
  'announcement missing': (lab, node, victim) => ({
    ...{ driver: 'bgp', key: `route/${victim.vip}/32`, kind: 'missing', touches: [] },
    inject: () => editBird(lab, node, text => text.replace(lineOf(victim), '')),
  }),
  'announcement unexpected': (lab, node, victim) => {
    const other = victim.vip.replace(/^203\.0\.113\./, '198.51.100.')
    return {
      ...{ driver: 'bgp', key: `route/${other}/32`, kind: 'unexpected', touches: [] },
      inject: () =>
        editBird(lab, node, text =>
          text.replace(lineOf(victim), line => `${line}\n${line.replace(victim.vip, other)}`),
        ),
    }
  },
  'announcement changed': (lab, node, victim) => ({
    ...{ driver: 'bgp', key: `route/${victim.vip}/32`, kind: 'changed', touches: [] },
    inject: () =>
      editBird(lab, node, text =>
        text.replace(lineOf(victim), line => line.replace(' };', ' bgp_community.add((64513,7)); };')),
      ),
  }),
  'session missing': (lab, node) => {
    const peer = `router-${node.slice('lb-'.length)}-ipv4`
    return {
      ...{ driver: 'bgp', key: `peer/${peer}`, kind: 'missing', touches: 'all' },
      async inject() {
        await askBird(lab, node, 'disable', protocolOf(peer))
      },
    }
  },
  'daemon restarted': (lab, node) => ({
    ...{ driver: 'bgp', key: 'speaker', kind: 'missing', touches: 'all' },
    async inject() {
      const pid = Number.parseInt(await readFile(pidFileOf(lab, node), 'utf8'), 10)
      process.kill(pid, 'SIGKILL')
      const { file } = birdPlace(lab, node)
      await Promise.all([rm(file, { force: true }), rm(`${file}.confirmed`, { force: true })])
      const isGone = () =>
        readFile(`/proc/${pid}/stat`, 'utf8').then(
          text => text.includes(') Z '),
          () => true,
        )
      await waitUntil({ what: 'BIRD to end', deadline: 5_000 }, async () => (await isGone()) || null)
      await startBird(lab, node)
    },
  }),
}

export const makeInjection = (name: string, lab: Lab, node: string, victim: Victim): Injection => ({
  name,
  node,
  ...INJECTIONS[name]!(lab, node, victim),
})

/** For a service whose drift is held, so that nodes go on to disagree. Gives what puts it right. */
export const disagreeOnRing = (lab: Lab, node: string, victim: Victim): Promise<() => Promise<void>> =>
  replaceRing(lab, node, victim, swapSlots)
