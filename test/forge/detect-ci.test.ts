import assert from 'node:assert/strict'
import { test } from 'node:test'
import { detectCi } from '../../reconciler/forge/detect-ci.ts'

const none = (): string => {
  throw new Error('there is no such file')
}

test('a job of GitHub says what it is for, by the event or else by its ref', () => {
  const env = {
    GITHUB_ACTIONS: 'true',
    GITHUB_API_URL: 'https://api.github.com',
    GITHUB_REPOSITORY: 'network/policy',
    GITHUB_EVENT_PATH: '/event.json',
    GITHUB_REF: 'refs/pull/7/merge',
    GITHUB_BASE_REF: 'main',
    GITHUB_TOKEN: '',
    GITHUB_STEP_SUMMARY: '/summary.md',
    GITHUB_SERVER_URL: 'https://github.com',
    GITHUB_RUN_ID: '77',
  }
  const job = {
    kind: 'github',
    url: 'https://api.github.com',
    project: 'network/policy',
    pull: 7,
    into: 'main',
    head: undefined,
    token: undefined,
    jobUrl: 'https://github.com/network/policy/actions/runs/77',
    summaryFile: '/summary.md',
  }
  assert.deepEqual(detectCi(env, none), job)
  const event = JSON.stringify({
    number: 9,
    pull_request: { number: 9, base: { ref: 'release' }, head: { sha: 'f00' } },
  })
  assert.deepEqual(
    detectCi({ ...env, GITHUB_TOKEN: 't', GITHUB_REF: 'refs/heads/main' }, file =>
      file === '/event.json' ? event : none(),
    ),
    { ...job, pull: 9, into: 'release', head: 'f00', token: 't' },
  )
})

test('a job of Gitea is not taken for one of GitHub', () => {
  const env = {
    GITHUB_ACTIONS: 'true',
    GITEA_ACTIONS: 'true',
    GITHUB_API_URL: 'https://gitea.example.org/api/v1',
    GITHUB_SERVER_URL: 'https://gitea.example.org',
    GITHUB_REPOSITORY: 'network/policy',
    GITHUB_REF: 'refs/pull/3/head',
    GITHUB_TOKEN: 't',
  }
  const job = detectCi(env, none)
  assert.deepEqual(
    [job?.kind, job?.url, job?.pull, job?.token],
    ['gitea', 'https://gitea.example.org', 3, 't'],
  )
})

test('a job of GitLab names the merge request by its iid', () => {
  const env = {
    GITLAB_CI: 'true',
    CI_SERVER_URL: 'https://gitlab.example.org',
    CI_JOB_URL: 'https://gitlab.example.org/network/policy/-/jobs/5',
    CI_PROJECT_PATH: 'someone/policy',
    CI_MERGE_REQUEST_PROJECT_PATH: 'network/policy',
    CI_MERGE_REQUEST_IID: '12',
    CI_MERGE_REQUEST_TARGET_BRANCH_NAME: 'main',
    CI_COMMIT_SHA: 'c0',
    CI_MERGE_REQUEST_SOURCE_BRANCH_SHA: '',
    GITLAB_TOKEN: 't',
  }
  assert.deepEqual(detectCi(env, none), {
    kind: 'gitlab',
    url: 'https://gitlab.example.org',
    project: 'network/policy',
    pull: 12,
    into: 'main',
    head: 'c0',
    token: 't',
    jobUrl: 'https://gitlab.example.org/network/policy/-/jobs/5',
    summaryFile: undefined,
  })
  // Where what is checked out is the result of the merge.
  assert.equal(detectCi({ ...env, CI_MERGE_REQUEST_SOURCE_BRANCH_SHA: 'b1' }, none)?.head, 'b1')
})

test('elsewhere nothing is said', () => assert.equal(detectCi({ PATH: '/bin' }, none), null))
