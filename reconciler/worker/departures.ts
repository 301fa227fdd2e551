import { readFile, rename, writeFile } from 'node:fs/promises'
import { z } from 'zod'
import type { NodeTables } from '../../schemas/node-state.ts'
import type { Handover } from '../../schemas/want.ts'
import { findLeaving, type Leaving, planStep, type Step } from '../plan/handover.ts'
import type { Drivers } from './converge.ts'

/** What is on its way out of this node, and since when: kept on disk, so that a restart does not begin the time anew. */
export interface Departures {
  /** What the node should hold now. */
  plan(wanted: NodeTables, observed: NodeTables, handover: Handover | undefined): Promise<Step>
}

const NO_WAIT: Handover = { shutdownTime: 0, drainTimeout: 0 }

/** A file that cannot be read is no reason to stop: then the time begins anew. */
export async function openDepartures(file: string, drivers: Drivers, now: () => number): Promise<Departures> {
  let leaving = await readLeaving(file)

  async function plan(wanted: NodeTables, observed: NodeTables, handover: Handover = NO_WAIT): Promise<Step> {
    const { xdp, ipvs } = findLeaving(wanted, observed)
    const counts = {
      xdp: xdp.length === 0 ? undefined : await drivers.xdp?.connections?.(xdp),
      ipvs: ipvs.length === 0 ? undefined : await drivers.ipvs?.connections?.(ipvs),
    }
    const connections = (driver: 'xdp' | 'ipvs', key: string) => counts[driver]?.get(key) ?? null
    const step = planStep({ wanted, observed, connections, leaving, handover, now: now() })
    if (JSON.stringify(step.leaving) !== JSON.stringify(leaving)) {
      await writeFile(`${file}.new`, JSON.stringify(step.leaving))
      await rename(`${file}.new`, file)
      leaving = step.leaving
    }
    return step
  }

  return { plan }
}

const Stored = z.record(z.string(), z.int())

async function readLeaving(file: string): Promise<Leaving> {
  try {
    return Stored.parse(JSON.parse(await readFile(file, 'utf8')))
  } catch {
    return {}
  }
}
