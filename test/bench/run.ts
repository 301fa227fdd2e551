import { fleetSizesBenchmark } from './fleet-sizes.ts'
import { loadXdpBenchmark } from './load-xdp.ts'
import { planPrBenchmark } from './plan-pr.ts'
import { pullStormBenchmark } from './pull-storm.ts'
import { pushLabBenchmark } from './push-lab.ts'
import { pushSimulatedBenchmarks } from './push-simulated.ts'
import { ringBenchmark } from './ring.ts'
import { runBenchmarks } from './run-benchmarks.ts'
import { validatePlanBenchmark } from './validate-plan.ts'
import { webhookStormBenchmark } from './webhook-storm.ts'
import { workerLoopBenchmark } from './worker-loop.ts'

/** `npm run bench`. docs/speed.md says what is measured. */
const BENCHMARKS = [
  ringBenchmark,
  validatePlanBenchmark,
  planPrBenchmark,
  loadXdpBenchmark,
  workerLoopBenchmark,
  pushLabBenchmark,
  ...pushSimulatedBenchmarks,
  webhookStormBenchmark,
  pullStormBenchmark,
  fleetSizesBenchmark,
]

const TARGETS = {
  push_to_applied_p50: 100,
  push_to_applied_p99: 250,
  push_to_applied_100_nodes_p99: 1_000,
  push_to_applied_1000_nodes_p99: 5_000,
  ring_65537_100: 3,
  validate_plan_10k_cold: 5_000,
  validate_plan_10k_warm: 300,
  validate_plan_10k_rss: 1_024,
  plan_pr_one_of_10k: 500,
  plan_pr_all_10k: 10_000,
  plan_pr_rss: 400,
  load_1000_shared: 3_000,
  load_1000_distinct: 6_000,
  load_kernel_memory: 300,
  add_backend_p50: 10,
  add_backend_p99: 30,
  event_loop_longest: 5,
  worker_loop_load: 5,
  worker_loop_push: 5,
  redis_bytes_per_push: 200_000,
  webhook_storm_p99: 100,
  webhook_storm_fetches: 1,
  pull_storm_slowest: 100,
  pull_storm_comments: 20,
}

await runBenchmarks(BENCHMARKS, TARGETS)
