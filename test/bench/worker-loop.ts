import { readFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { WORKER_FLAGS } from '../../reconciler/process/node-flags.ts'
import { type Program, startProgram } from '../../reconciler/process/run-command.ts'
import { type Benchmark, milliseconds } from './benchmark.ts'
import { startLiveFleet } from './live-fleet.ts'
import { composeFleet } from './sample-fleet.ts'
import { longestOf, type Turn } from './watch-turns.ts'

const NODE = 'lb-1'
const SIZE = { services: 1000, backends: 100, nodes: [NODE] }
const PUSHES = 20
/** Until what came with the start is behind it. */
const SETTLE_MS = 3_000
/** Counters come each 10 s. */
const COUNTERS_MS = 11_000

const CLI = resolve(import.meta.dirname, '../../reconciler/cli.ts')
const WATCH = resolve(import.meta.dirname, 'watch-process.ts')

/**
 * How long a real worker keeps its event loop, of CPU time: while the first 1,000 services, of 100 backends each, are pushed to
 * it, and then while one at a time changes and it publishes counters. Started as a release starts it, in a namespace of its
 * own, with the reconciler, Redis and Git on the same CPUs. Needs root.
 */
export const workerLoopBenchmark: Benchmark = {
  names: ['worker_loop_load', 'worker_loop_push'],
  async run({ dir, say }) {
    const turnsFile = join(dir, 'turns.json')
    const files = [...composeFleet(SIZE)]
    const isService = ([path]: (typeof files)[number]): boolean => path.startsWith('services/')
    const fleet = await startLiveFleet({
      size: SIZE,
      first: files.filter(file => !isService(file)),
      startNodes: async stateDir => [await startWorker(stateDir, turnsFile)],
      deadline: 60_000,
    })
    const times: number[] = []
    try {
      await delay(SETTLE_MS)
      times.push(Date.now())
      const { ms } = await fleet.push(files.filter(isService))
      say(`${SIZE.services} services in ${ms.toFixed()} ms`)
      times.push(Date.now())
      for (let push = 0; push < PUSHES; push++) await fleet.pushChange()
      await delay(COUNTERS_MS)
      times.push(Date.now())
    } finally {
      await fleet.stop()
    }
    const [before = 0, loaded = 0, pushed = 0] = times
    const turns = JSON.parse(await readFile(turnsFile, 'utf8')) as Turn[]
    const between = (from: number, until: number) =>
      longestOf(turns.filter(turn => turn.from >= from && turn.to <= until))
    const longest = { load: between(before, loaded), push: between(loaded, pushed) }
    return Object.entries(longest).flatMap(([name, { cpu, own, collection }]) => [
      milliseconds(`worker_loop_${name}`, [cpu], 1),
      milliseconds(`worker_loop_${name}_own`, [own], 1),
      milliseconds(`worker_loop_${name}_collection`, [collection], 1),
    ])
  },
}

function startWorker(stateDir: string, turnsFile: string): Promise<Program> {
  const places = {
    '--node': NODE,
    '--state-dir': stateDir,
    '--runtime-dir': join(stateDir, 'run'),
    '--bpffs': join(stateDir, 'bpf'),
    '--redis': `unix:${join(stateDir, 'redis/redis.sock')}`,
  }
  const prepare = [
    'set -e',
    'ip link add eth0 type veth peer name peer0',
    'ip link set eth0 up',
    'ip link set peer0 up',
    'mkdir -p "$0/bpf" "$0/run"',
    'mount -t bpf bpf "$0/bpf"',
    'exec "$@"',
  ]
  const node = [process.execPath, ...WORKER_FLAGS, '--import', WATCH]
  const worker = [...node, CLI, 'worker', ...Object.entries(places).flat()]
  return startProgram('unshare', ['--net', '--mount', 'sh', '-c', prepare.join('\n'), stateDir, ...worker], {
    env: { ...process.env, BALLAST_TURNS: turnsFile },
  })
}
