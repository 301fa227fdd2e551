import {
  callChannel,
  countersKey,
  heartbeatKey,
  KEY_PREFIX,
  LEADER_KEY,
  pauseKey,
  REPORT_STREAM_KEY,
  REPORTERS_KEY,
  reportKey,
  STATE_KEYS,
  wakeQueue,
  wantKey,
} from './keys.ts'

/** Who speaks to Redis. A worker is one node's. */
export type Role =
  | { readonly role: 'reconciler' }
  | { readonly role: 'worker'; readonly node: string }
  | { readonly role: 'status' }

/** What every connection says, whoever it is; none of it touches a key. */
const TALK = [
  ...['ping', 'info', 'role', 'select', 'time', 'multi', 'exec', 'discard', 'script|load'],
  ...['client|setname', 'cluster|slots', 'cluster|info', 'readonly', 'readwrite'],
]
/** What the scripts of BullMQ and ours do with keys. `@keyspace` as a whole would hold FLUSHALL. */
const DATA = [
  ...['@string', '@hash', '@list', '@set', '@sortedset', '@stream', 'eval', 'evalsha'],
  ...['del', 'unlink', 'exists', 'expire', 'pexpire', 'pexpireat', 'pttl', 'persist', 'rename', 'type'],
]
const LISTEN = ['subscribe', 'unsubscribe']

const allow = (commands: readonly string[]): string[] => commands.map(command => `+${command}`)
/** Rights that hold together: these commands on these keys alone. `%R~` reads, `%W~` writes, `~` both. */
const selector = (keys: readonly string[], commands: readonly string[]): string =>
  `(${[...keys, ...allow(commands)].join(' ')})`

export const roleUser = (who: Role): string =>
  who.role === 'worker' ? `ballast-worker-${who.node}` : `ballast-${who.role}`

/**
 * The least that a role needs, as the rules of `ACL SETUSER` (Redis 7.0): it can do nothing else. A worker reads
 * its own want and the states, writes its own report and counters, and hears and takes its own wake-ups.
 */
export function roleRules(who: Role): string[] {
  return ['reset', 'on', ...allow(TALK), ...rightsOf(who)]
}

function rightsOf(who: Role): string[] {
  switch (who.role) {
    case 'reconciler':
      return [
        `~${KEY_PREFIX}:*`,
        `&${KEY_PREFIX}:*`,
        ...allow([...DATA, ...LISTEN, 'scan', 'publish', 'pubsub|numsub']),
      ]
    case 'status':
      return [
        `%R~${KEY_PREFIX}:*`,
        ...allow(['get', 'mget', 'hgetall', 'smembers', 'exists', 'pubsub|numsub']),
      ]
    case 'worker':
      return [
        `&${callChannel(who.node)}`,
        ...allow(LISTEN),
        selector(
          [wantKey(who.node), pauseKey(who.node), STATE_KEYS, LEADER_KEY].map(key => `%R~${key}`),
          ['get', 'mget', 'exists'],
        ),
        selector([`%W~${countersKey(who.node)}`, `%W~${heartbeatKey(who.node)}`], ['set']),
        selector([`~${reportKey(who.node)}`], ['hget', 'hset', 'del']),
        // What a script does with its keys is checked command by command.
        selector(
          [reportKey(who.node), REPORTERS_KEY, REPORT_STREAM_KEY].map(key => `~${key}`),
          ['eval', 'evalsha'],
        ),
        selector([`%W~${REPORTERS_KEY}`], ['sadd']),
        selector([`%W~${REPORT_STREAM_KEY}`], ['xadd']),
        selector([`~${KEY_PREFIX}:${wakeQueue(who.node)}:*`], DATA),
      ]
  }
}
