import type { DriftRecord } from '../../schemas/drift-record.ts'
import { FLEET_DRIFT_VERSION, type FleetDrift } from '../../schemas/fleet-drift.ts'
import type { NodeReport } from '../../schemas/report.ts'

/** What only the fleet as a whole shows, for whoever asks and for the reconciler that leads next. */
export interface FleetDriftMemory {
  /** With the latest reports: what is known is judged by all of them at once. */
  read(): Promise<{ readonly records: readonly DriftRecord[]; readonly reports: Iterable<NodeReport> }>
  write(records: readonly DriftRecord[]): Promise<void>
}

export interface FleetDriftMemoryOptions {
  readonly board: {
    readonly fleetDrift: {
      read(): Promise<{ readonly drift: FleetDrift | null }>
      write(drift: FleetDrift): Promise<void>
    }
    readonly reports: { readAll(): Promise<Map<string, NodeReport>> }
  }
  readonly now: () => number
}

export function createFleetDriftMemory({ board, now }: FleetDriftMemoryOptions): FleetDriftMemory {
  return {
    async read() {
      const [{ drift }, reports] = await Promise.all([board.fleetDrift.read(), board.reports.readAll()])
      return { records: drift?.records ?? [], reports: reports.values() }
    },
    write: records =>
      board.fleetDrift.write({ version: FLEET_DRIFT_VERSION, at: now(), records: [...records] }),
  }
}
