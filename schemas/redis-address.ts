/** A server, by name or address (IPv6 without its brackets). */
export interface HostPort {
  readonly host: string
  readonly port: number
}

/** Where Redis is. `user`: the name it is spoken to by, null for the one without a name. */
export type RedisTarget =
  | { readonly kind: 'socket'; readonly path: string }
  | {
      readonly kind: 'standalone'
      readonly at: HostPort
      readonly db: number
      readonly tls: boolean
      readonly user: string | null
    }
  | {
      readonly kind: 'sentinel'
      readonly sentinels: readonly HostPort[]
      readonly master: string
      readonly db: number
      readonly tls: boolean
      readonly user: string | null
    }
  | {
      readonly kind: 'cluster'
      readonly nodes: readonly HostPort[]
      readonly tls: boolean
      readonly user: string | null
    }

const ADDRESS =
  /^redis(?<tls>s?)(?:\+(?<kind>sentinel|cluster))?:\/\/(?:(?<user>[^@/?]*)@)?(?<hosts>[^/?]+)(?:\/(?<path>[^?]*))?(?:\?db=(?<db>\d{1,5}))?$/
const HOST = /^(?:\[(?<v6>[0-9a-fA-F:.]+)\]|(?<name>[^:[\]\s]+))(?::(?<port>\d{1,5}))?$/

const REDIS_PORT = 6379
const SENTINEL_PORT = 26379

/**
 * `unix:/path`, `redis://[user@]host[:port][/db]`, `redis+sentinel://[user@]host[:port],…/master[?db=n]`,
 * `redis+cluster://[user@]host[:port],…`; with `rediss` for TLS. A text: what is wrong with it, after "redis".
 */
export function parseRedisAddress(text: string): RedisTarget | string {
  if (text.startsWith('unix:')) {
    const path = text.slice('unix:'.length)
    return path.startsWith('/') ? { kind: 'socket', path } : 'must have an absolute path after unix:'
  }
  const parts = ADDRESS.exec(text)?.groups
  if (parts === undefined) {
    return 'is no redis://, redis+sentinel://, redis+cluster:// (or rediss…) or unix: address'
  }
  const { kind, path = '', db: query } = parts
  if (parts.user?.includes(':')) return 'must not hold a password: that belongs into a file'
  const tls = parts.tls === 's'
  const user = parts.user === undefined || parts.user === '' ? null : parts.user
  const hosts = parts
    .hosts!.split(',')
    .map(host => parseHost(host, kind === 'sentinel' ? SENTINEL_PORT : REDIS_PORT))
  const bad = hosts.indexOf(null)
  if (bad >= 0) return `has ${JSON.stringify(parts.hosts!.split(',')[bad])} where a host:port should be`
  const servers = hosts.filter(host => host !== null)

  if (kind === 'sentinel') {
    if (path === '') return 'must name the master that the Sentinels watch: redis+sentinel://host:port/name'
    return { kind, sentinels: servers, master: path, db: Number(query ?? 0), tls, user }
  }
  if (kind === 'cluster') {
    if (path !== '' || query !== undefined) return 'must not choose a database: a Cluster has one'
    return { kind, nodes: servers, tls, user }
  }
  if (servers.length > 1) return 'has several hosts, which is for redis+sentinel:// and redis+cluster://'
  if (!/^\d*$/.test(path)) return 'must have the number of a database after the host, or nothing'
  return { kind: 'standalone', at: servers[0]!, db: Number(path === '' ? (query ?? 0) : path), tls, user }
}

function parseHost(text: string, standard: number): HostPort | null {
  const found = HOST.exec(text)?.groups
  if (found === undefined) return null
  const port = Number(found.port ?? standard)
  return port < 1 || port > 65535 ? null : { host: (found.v6 ?? found.name)!, port }
}
