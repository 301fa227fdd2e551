import { readFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { z } from 'zod'
import { readJsonLines } from '../../reconciler/lab/read-json-lines.ts'
import { waitUntil } from '../../reconciler/lab/wait-until.ts'
import { WORKER_FLAGS } from '../../reconciler/process/node-flags.ts'
import { type Program, startProgram } from '../../reconciler/process/run-command.ts'
import { type Benchmark, milliseconds } from './benchmark.ts'
import { startLiveFleet } from './live-fleet.ts'
import { longestOf, type Turn } from './watch-turns.ts'

const NODE = 'lb-1'
const SIZE = { services: 1000, backends: 100, nodes: [NODE] }
const PUSHES = 20
/** Until the first counters, which come 10 s after the start, are behind it. */
const SETTLE_MS = 12_000

const CLI = resolve(import.meta.dirname, '../../reconciler/cli.ts')
const WATCH = resolve(import.meta.dirname, 'watch-process.ts')
const LogLine = z.looseObject({ time: z.number(), msg: z.string() })
type LogLine = z.infer<typeof LogLine>

/**
 * How long a real worker keeps its event loop, of CPU time, from its start to the end of the first load of 1,000 × 100 backends,
 * and then while it is pushed to and publishes counters. Started as a release starts it, in a namespace of its own, with the
 * reconciler, Redis and Git on the same CPUs. Needs root.
 */
export const workerLoopBenchmark: Benchmark = {
  names: ['worker_loop_load', 'worker_loop_push'],
  async run({ dir, say }) {
    const turnsFile = join(dir, 'turns.json')
    const lines: LogLine[] = []
    const timeOf = (msg: string): number | undefined => lines.find(line => line.msg === msg)?.time
    const fleet = await startLiveFleet({
      size: SIZE,
      startNodes: async stateDir => [await startWorker(stateDir, turnsFile, line => lines.push(line))],
      deadline: 180_000,
    })
    let loaded: number
    let pushed: number
    try {
      loaded = await waitUntil(
        { what: 'the first outcome', deadline: 10_000 },
        () => timeOf('outcome') ?? null,
      )
      await delay(SETTLE_MS)
      for (let push = 0; push < PUSHES; push++) await fleet.pushChange()
      pushed = Date.now()
    } finally {
      await fleet.stop()
    }
    const turns = JSON.parse(await readFile(turnsFile, 'utf8')) as Turn[]
    const between = (from: number, until: number) =>
      longestOf(turns.filter(turn => turn.from >= from && turn.to <= until))
    const load = between(timeOf('worker started') ?? 0, loaded)
    const push = between(loaded, pushed)
    say(`loaded in ${loaded - (timeOf('worker started') ?? 0)} ms; ${PUSHES} pushes`)
    return Object.entries({ load, push }).flatMap(([name, { cpu, own, collection }]) => [
      milliseconds(`worker_loop_${name}`, [cpu], 1),
      milliseconds(`worker_loop_${name}_own`, [own], 1),
      milliseconds(`worker_loop_${name}_collection`, [collection], 1),
    ])
  },
}

function startWorker(stateDir: string, turnsFile: string, each: (line: LogLine) => void): Promise<Program> {
  const places = {
    '--node': NODE,
    '--state-dir': stateDir,
    '--runtime-dir': join(stateDir, 'run'),
    '--bpffs': join(stateDir, 'bpf'),
    '--redis': `unix:${join(stateDir, 'redis/redis.sock')}`,
    '--log-format': 'json',
  }
  const worker = [
    process.execPath,
    ...WORKER_FLAGS,
    '--import',
    WATCH,
    CLI,
    'worker',
    ...Object.entries(places).flat(),
  ]
  const prepare = [
    'set -e',
    'ip link add eth0 type veth peer name peer0',
    'ip link set eth0 up',
    'ip link set peer0 up',
    'mkdir -p "$0/bpf" "$0/run"',
    'mount -t bpf bpf "$0/bpf"',
    'exec "$@"',
  ].join('\n')
  return startProgram('unshare', ['--net', '--mount', 'sh', '-c', prepare, stateDir, ...worker], {
    stderr: 'pipe',
    env: { ...process.env, BALLAST_TURNS: turnsFile },
  }).then(program => {
    readJsonLines(program.stderr!, LogLine, { each, other: text => process.stderr.write(`${text}\n`) })
    return program
  })
}
