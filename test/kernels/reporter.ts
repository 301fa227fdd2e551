import type { TestEvent } from 'node:test/reporters'
import { inspect } from 'node:util'

/** What came of a test inside; lines of JSON, the last one `{"ended": true}`. */
export type Line =
  | { readonly test: string; readonly error: string | null; readonly ms: number }
  | { readonly diagnostic: string }
  | { readonly ended: true }

/** What the runner itself says at the end. */
const SUMMARY = /^(tests|suites|pass|fail|cancelled|skipped|todo|duration_ms) \d/

/** A reporter for `node --test`: one line for every test, and for what tests have to say. */
export default async function* report(events: AsyncIterable<TestEvent>): AsyncGenerator<string> {
  const line = (value: Line): string => `${JSON.stringify(value)}\n`
  for await (const { type, data } of events) {
    if (type === 'test:pass' && data.details.type !== 'suite')
      yield line({ test: data.name, error: null, ms: data.details.duration_ms })
    else if (type === 'test:fail' && data.details.type !== 'suite')
      yield line({ test: data.name, error: textOf(data.details.error), ms: data.details.duration_ms })
    // A suite whose set-up failed has no test to say so.
    else if (type === 'test:fail' && !/subtests? failed/.test(data.details.error.message))
      yield line({ test: data.name, error: textOf(data.details.error), ms: data.details.duration_ms })
    else if (type === 'test:diagnostic' && !SUMMARY.test(data.message))
      yield line({ diagnostic: data.message })
  }
  yield line({ ended: true })
}

const textOf = (error: Error): string => inspect(error.cause ?? error, { depth: 8 })
