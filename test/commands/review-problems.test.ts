import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isInvalid, reviewFailure } from '../../reconciler/commands/review-problems.ts'

const [BASE, HEAD] = ['a', 'b'].map(letter => letter.repeat(40)) as [string, string]

test('what is wrong with the proposal is said to who proposes it, and nothing else is', () => {
  const wrong = `${HEAD} is not valid:\nfleet.yaml:5:9 warning fleet-key: …\nweb.yaml:3:1 error vip: No address.\n`
  const { comment, status } = reviewFailure(`a line of the log\n${wrong}`, HEAD)
  assert.equal(status.description, 'web.yaml:3:1 error vip: No address.')
  assert.ok(comment.includes(wrong.trim()) && !comment.includes('a line of the log'))
  for (const stderr of [
    'REDIS_UNREACHABLE: Redis at /run/redis does not answer.',
    `${BASE} is not valid:\n…`,
    '',
  ])
    assert.throws(() => reviewFailure(stderr, HEAD), { code: 'PLAN_FAILED', retryable: true })
  assert.deepEqual([isInvalid({ stderr: wrong }, HEAD), isInvalid({ stderr: wrong }, BASE)], [true, false])
})
