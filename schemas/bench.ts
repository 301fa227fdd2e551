import { z } from 'zod'

/** One figure of `npm run bench`: `value` over `n` measurements. A name that ends in `_baseline` is what the machine alone takes. */
export const BenchResult = z.strictObject({
  name: z.string().min(1),
  value: z.number(),
  unit: z.enum(['ms', 'MiB', 'bytes', 'requests', 'plans', 'comments', 'packets/s', 'ratio', '%', 'drifts']),
  n: z.int().min(1),
})
export type BenchResult = z.infer<typeof BenchResult>

/** What `npm run bench -- --json` prints. */
export const BenchOutput = z.strictObject({
  machine: z.strictObject({
    cpu: z.string(),
    cpus: z.int(),
    /** MiB. */
    memory: z.int(),
    kernel: z.string(),
    node: z.string(),
    /** Load averages over the last minute, before and after: benchmarks themselves add about 2. */
    load: z.tuple([z.number(), z.number()]),
  }),
  results: z.array(BenchResult),
})
export type BenchOutput = z.infer<typeof BenchOutput>
