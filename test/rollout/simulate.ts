import { trafficOf } from '../../reconciler/drivers/xdp/traffic-counts.ts'
import { nextWave } from '../../reconciler/rollout/next-wave.ts'
import type { NodeView, ProbeResult, Reports } from '../../reconciler/rollout/reports.ts'
import { assignWaves } from '../../reconciler/rollout/start-rollout.ts'
import type { Outcome } from '../../schemas/report.ts'
import { ROLLOUT_VERSION, type Rollout, type RolloutNode } from '../../schemas/rollout.ts'

/** A rollout of so many nodes, all unchanged; what is given replaces the rest. */
export function makeRollout(
  count: number,
  { canaries = 1, steps = [50], ...rest }: Partial<Rollout> & { canaries?: number; steps?: number[] } = {},
): Rollout {
  const names = nameNodes(count)
  const waves = assignWaves(names, new Set(names.slice(0, canaries)), steps)
  return {
    version: ROLLOUT_VERSION,
    sequence: 1,
    state: 'running',
    base: 'a'.repeat(40),
    target: 'b'.repeat(40),
    startedAt: 0,
    waves: waves.names,
    wave: 0,
    waveOpenedAt: 0,
    bakingSince: null,
    nodes: names.map(
      (name): RolloutNode => ({
        name,
        wave: waves.of.get(name)!,
        side: 'base',
        changingSince: null,
        counted: null,
      }),
    ),
    announcers: [names],
    bakeMs: 60_000,
    deadlineMs: 120_000,
    maxInChange: 1,
    gates: { applyFailures: 0, drops: 0.01, resets: 0.01, newFlowFailures: 0.01, probes: [] },
    onFailure: 'stop',
    freeze: [],
    freezeOverride: null,
    failure: null,
    reverted: null,
    revertPull: null,
    ...rest,
  }
}

export const nameNodes = (count: number): string[] =>
  Array.from({ length: count }, (_, index) => `lb-${String(index).padStart(2, '0')}`)

/** Packets by reason, as the XDP driver counts them. */
export type Reasons = Readonly<Record<string, number>>

interface NodeModel {
  generation: number
  reached: number
  outcome: Outcome
  reasons: Reasons
  /** When it last reported. */
  at: number
}

/** Nodes that are told what the record says, and answer when the test lets them. */
export class World {
  now = 1_000_000
  probes: ProbeResult[] = []
  readonly nodes: Map<string, NodeModel>
  record: Rollout
  private readonly mute = new Set<string>()

  constructor(record: Rollout) {
    this.record = record
    this.nodes = new Map(
      record.nodes.map(({ name }) => [
        name,
        { generation: 1, reached: 1, outcome: 'applied', reasons: {}, at: this.now },
      ]),
    )
  }

  reports(order: (names: string[]) => string[] = names => names): Reports {
    const views = order([...this.nodes.keys()]).map((name): [string, NodeView] => {
      const { generation, reached, outcome, reasons, at } = this.nodes.get(name)!
      const counted = Object.entries(reasons).map(([reason, packets]) => [reason, { packets }])
      const traffic = trafficOf(Object.fromEntries(counted))
      const want = { generation: reached, revision: 'c'.repeat(40), stateDigest: 'd'.repeat(64) }
      return [name, { wanted: generation, report: { at, want, outcome, traffic, failures: [] } }]
    })
    return { nodes: new Map(views), probes: this.probes }
  }

  /** One look of the reconciler: who is told anew gets a new want. */
  look(): Rollout {
    const before = this.record
    this.record = nextWave(before, this.reports(), this.now)!
    for (const [index, { name, side }] of this.record.nodes.entries()) {
      if (side !== before.nodes[index]!.side) this.nodes.get(name)!.generation++
    }
    return this.record
  }

  pass(ms: number): void {
    this.now += ms
    for (const [name, node] of this.nodes) if (!this.mute.has(name)) node.at = this.now
  }

  answer(name: string, outcome: Outcome = 'applied'): void {
    const node = this.nodes.get(name)!
    if (this.mute.has(name)) return
    node.reached = node.generation
    node.outcome = outcome
  }

  answerAll(outcome: Outcome = 'applied'): void {
    for (const name of this.nodes.keys()) this.answer(name, outcome)
  }

  count(name: string, reasons: Reasons): void {
    const node = this.nodes.get(name)!
    const keys = new Set([...Object.keys(node.reasons), ...Object.keys(reasons)])
    node.reasons = Object.fromEntries(
      [...keys].map(key => [key, (node.reasons[key] ?? 0) + (reasons[key] ?? 0)]),
    )
  }

  silence(name: string): void {
    this.mute.add(name)
  }

  wakeUp(name: string): void {
    this.mute.delete(name)
  }

  /** Told, and did not answer. */
  inChange(): string[] {
    return [...this.nodes].filter(([, node]) => node.reached < node.generation).map(([name]) => name)
  }

  on(side: RolloutNode['side']): string[] {
    return this.record.nodes.filter(node => node.side === side).map(({ name }) => name)
  }

  /** Every node answers at once, for as long as it takes. */
  settle(looks = 200): void {
    for (let look = 0; look < looks; look++) {
      this.look()
      this.answerAll()
      this.pass(20_000)
    }
  }
}
