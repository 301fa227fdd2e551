import { BallastError } from '../../schemas/ballast-error.ts'
import type { DriftRecord } from '../../schemas/drift-record.ts'
import { FLEET_DRIFT_VERSION, type FleetDrift } from '../../schemas/fleet-drift.ts'
import type { NodeReport } from '../../schemas/report.ts'
import type { Log } from '../log/log.ts'

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
  readonly log: Log
  readonly now: () => number
}

export function createFleetDriftMemory({ board, log, now }: FleetDriftMemoryOptions): FleetDriftMemory {
  async function readRecords(): Promise<readonly DriftRecord[]> {
    try {
      return (await board.fleetDrift.read()).drift?.records ?? []
    } catch (error) {
      if (!(error instanceof BallastError) || error.code !== 'QUEUE_VALUE_UNREADABLE') throw error
      log.warn({ err: error }, 'the drift of the fleet cannot be read; since when it lasts is found anew')
      return []
    }
  }
  return {
    async read() {
      const [records, reports] = await Promise.all([readRecords(), board.reports.readAll()])
      return { records, reports: reports.values() }
    },
    write: records =>
      board.fleetDrift.write({ version: FLEET_DRIFT_VERSION, at: now(), records: [...records] }),
  }
}
