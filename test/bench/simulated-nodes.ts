import { join } from 'node:path'
import { type Program, startProgram } from '../../reconciler/process/run-command.ts'

const SCRIPT = join(import.meta.dirname, 'simulated-nodes-process.ts')

export const nodeNames = (count: number): string[] =>
  Array.from({ length: count }, (_, index) => `lb-${index}`)

/** Starts the workers of nodes, in so many processes. */
export async function startSimulatedNodes(
  nodes: readonly string[],
  processes: number,
  stateDir: string,
): Promise<readonly Program[]> {
  const each = Math.ceil(nodes.length / processes)
  const parts = Array.from({ length: processes }, (_, index) => nodes.slice(index * each, (index + 1) * each))
  return Promise.all(
    parts.map(part =>
      startProgram(process.execPath, [SCRIPT, stateDir, ...part], { stdout: 'ignore', stderr: 'inherit' }),
    ),
  )
}
