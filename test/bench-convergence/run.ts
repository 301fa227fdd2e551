import { runBenchmarks } from '../bench/run-benchmarks.ts'
import { outageBenchmark } from './outages.ts'
import { routeBenchmark } from './routes.ts'

/** `npm run bench:convergence`: from a commit to the router's routes, and what is lost when a load balancer dies. Needs root. */
await runBenchmarks([routeBenchmark, outageBenchmark], { route_p50: 300, route_p99: 2_000 })
