import assert from 'node:assert/strict'
import { resolve } from 'node:path'
import type { TestContext } from 'node:test'
import { z } from 'zod'
import { readFolder } from '../../reconciler/commands/read-folder.ts'
import { buildDesired } from '../../reconciler/desired/build-desired.ts'
import { type Lab, labDown, labUp } from '../../reconciler/lab/lab.ts'
import { startBackends } from '../../reconciler/lab/traffic.ts'
import { parseManifests } from '../../reconciler/manifest/parse-manifests.ts'
import { runCommand } from '../../reconciler/process/run-command.ts'
import type { XdpRow, XdpServiceRow } from '../../schemas/node-state.ts'

/** The dataplane with real clients and backends, and no control plane: rows are applied by the driver alone. */

export const skip =
  process.getuid?.() === 0 ? false : 'only root may make network namespaces and load XDP programs'

const root = resolve(import.meta.dirname, '../..')
export const OBJECT = resolve(root, 'bpf/build/lb.bpf.o')

export type NodeRows = Record<string, XdpRow>

/** The example fleet's rows of a node, its services with these fields. */
export async function makeRows(
  node: string,
  fields: Record<string, Partial<XdpServiceRow>>,
): Promise<NodeRows> {
  const { manifests } = parseManifests(await readFolder(resolve(root, 'manifests')))
  const { tables } = buildDesired(manifests).nodes.get(node)!.state
  return Object.fromEntries(
    Object.entries(tables.xdp).map(([key, row]) => [
      key,
      row.kind === 'service' ? { ...row, ...fields[key] } : row,
    ]),
  )
}

const Reasons = z.record(z.string(), z.object({ packets: z.number() }))
const Applied = z.object({
  failed: z.array(z.unknown()),
  rows: z.record(z.string(), z.unknown()),
  reasons: Reasons,
  cpus: z.array(z.number()),
})

/** Makes the rows of a node these; gives the packets that it counted so far, by reason. */
export async function apply(lab: Lab, node: string, rows: NodeRows): Promise<Record<string, number>> {
  const { reasons } = await applyRows(lab, node, rows)
  return Object.fromEntries(Object.entries(reasons).map(([reason, { packets }]) => [reason, packets]))
}

/** The same; gives the packets that each CPU sent to backends so far. */
export const applyAndCountCpus = async (lab: Lab, node: string, rows: NodeRows): Promise<number[]> =>
  (await applyRows(lab, node, rows)).cpus

async function applyRows(lab: Lab, node: string, rows: NodeRows): Promise<z.infer<typeof Applied>> {
  const applied = Applied.parse(await runOn(lab, node, 'apply-rows.ts', { rows }))
  assert.deepEqual({ failed: applied.failed, rows: applied.rows }, { failed: [], rows })
  return applied
}

/** What a script of this folder prints as JSON, run on a load balancer. */
export async function runOn(
  lab: Lab,
  node: string,
  script: string,
  order: object,
  timeout = 30_000,
): Promise<unknown> {
  const all = JSON.stringify({ node, bpffs: lab.bpffs, objectFile: OBJECT, ...order })
  const command = [process.execPath, resolve(import.meta.dirname, script), all] as const
  return JSON.parse((await runCommand(...lab.on(node, command), { timeout })).stdout)
}

export async function upWithBackends(t: TestContext, part: string): Promise<Lab> {
  const name = `xdp-${process.pid}-${part}`
  t.after(() => labDown(name))
  const lab = await labUp(name, process.pid)
  await startBackends(lab)
  return lab
}

export const WEB = 'service/203.0.113.10:80/tcp'
export const WEB6 = 'service/[2001:db8::10]:80/tcp'
export const DNS = 'service/203.0.113.53:53/udp'
export const TARGETS = ['http://203.0.113.10/', 'http://[2001:db8::10]/', 'udp://203.0.113.53:53']
