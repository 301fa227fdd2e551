import { existsSync } from 'node:fs'
import { join } from 'node:path'
import {
  Client,
  credentials,
  Metadata,
  type MethodDefinition,
  type ServiceError,
  status,
} from '@grpc/grpc-js'
import { loadSync, type ServiceDefinition } from '@grpc/proto-loader'
import { BallastError } from '../../../../schemas/ballast-error.ts'

/** A connection to GoBGP's gRPC interface; made when it is first used, and again when it broke. */
export interface GobgpClient {
  /** Throws `BGP_DAEMON_UNREACHABLE`, `BGP_DAEMON_HUNG`, `BGP_SOCKET_REFUSED`, `BGP_DAEMON_LOST`, `BGP_COMMAND_REFUSED`. */
  call<Reply>(method: string, request: object): Promise<Reply>
  /** All that a method which streams says to its end. Throws as `call`. */
  list<Reply>(method: string, request: object): Promise<Reply[]>
  /** What a method says that does not end by itself, until it is aborted or the connection breaks. */
  follow(method: string, request: object, signal: AbortSignal): AsyncIterable<unknown>
  close(): void
}

export interface GobgpPlace {
  /** `host:port`, or `unix:///path`. */
  readonly api: string
  /** The folder with GoBGP's definitions: `DEFINITIONS`. */
  readonly apiDir: string
}

const DEFINITIONS = ['gobgp.proto', 'attribute.proto', 'capability.proto'] as const

const SERVICE = 'apipb.GobgpApi'
/** What takes longer than this hangs, and its sessions may too. */
const ANSWER_WITHIN_MS = 3_000
/** Long lists of routes with attributes are more than the default of 4 MiB. */
const LARGEST_REPLY = 64 << 20

/** `json`: attributes are messages of any type, told apart by `@type`. */
const LOADING = { longs: Number, enums: String, defaults: true, json: true } as const

const hasDefinitions = (apiDir: string): boolean => DEFINITIONS.every(name => existsSync(join(apiDir, name)))

/** Throws `BGP_API_MISSING`. */
export function openGobgp({ api, apiDir }: GobgpPlace): GobgpClient {
  const service = loadService(apiDir)
  const client = new Client(api, credentials.createInsecure(), {
    'grpc.initial_reconnect_backoff_ms': 100,
    'grpc.max_reconnect_backoff_ms': 1_000,
    // Only who connected himself is told why it failed.
    'grpc.use_local_subchannel_pool': 1,
    'grpc.max_receive_message_length': LARGEST_REPLY,
  })
  const methodOf = (name: string): MethodDefinition<object, object> => service[name]!
  const options = () => ({ deadline: Date.now() + ANSWER_WITHIN_MS })
  return {
    call(name, request) {
      const { promise, resolve, reject } = Promise.withResolvers<never>()
      const { path, requestSerialize, responseDeserialize } = methodOf(name)
      client.makeUnaryRequest(
        path,
        requestSerialize,
        responseDeserialize,
        request,
        new Metadata(),
        options(),
        (error, reply) => (error === null ? resolve(reply as never) : reject(failureOf(error, api, name))),
      )
      return promise
    },
    async list(name, request) {
      const { path, requestSerialize, responseDeserialize } = methodOf(name)
      try {
        return (await client
          .makeServerStreamRequest(path, requestSerialize, responseDeserialize, request, options())
          .toArray()) as never
      } catch (error) {
        throw failureOf(error as ServiceError, api, name)
      }
    },
    async *follow(name, request, signal) {
      if (signal.aborted) return
      const { path, requestSerialize, responseDeserialize } = methodOf(name)
      const stream = client.makeServerStreamRequest(path, requestSerialize, responseDeserialize, request)
      const cancel = () => stream.cancel()
      signal.addEventListener('abort', cancel, { once: true })
      try {
        yield* stream
      } catch (error) {
        if (!signal.aborted) throw failureOf(error as ServiceError, api, name)
      } finally {
        signal.removeEventListener('abort', cancel)
      }
    },
    close: () => client.close(),
  }
}

function loadService(apiDir: string): ServiceDefinition {
  if (!hasDefinitions(apiDir)) throw missing(apiDir)
  const definition = loadSync([...DEFINITIONS], { ...LOADING, includeDirs: [apiDir] })
  return definition[SERVICE] as ServiceDefinition
}

/** Nobody listens: the daemon is not there, and with it all that it knew. */
export const isDaemonDown = (error: unknown): boolean =>
  error instanceof BallastError && error.code === 'BGP_DAEMON_UNREACHABLE'

/** Only what says that nobody listens means that nothing is announced. */
function failureOf(cause: ServiceError, api: string, method: string): BallastError {
  const { code, details = '' } = cause
  if (code === status.UNAVAILABLE && /\b(ECONNREFUSED|ENOENT)\b/.test(details)) return unreachable(api, cause)
  if (code === status.UNAVAILABLE && /\b(EACCES|EPERM)\b/.test(details)) return refusedSocket(api, cause)
  if (code === status.UNAVAILABLE || code === status.CANCELLED) return lost(api, cause)
  if (code === status.DEADLINE_EXCEEDED) return hung(api, cause)
  return new BallastError({
    code: 'BGP_COMMAND_REFUSED',
    message: `GoBGP refused ${method}: ${details}`,
    hint: 'Is it a GoBGP 3? Ballast owns all of its configuration; see docs/bgp.md.',
    retryable: true,
    cause,
  })
}

const unreachable = (api: string, cause: unknown): BallastError =>
  new BallastError({
    code: 'BGP_DAEMON_UNREACHABLE',
    message: `GoBGP does not answer on ${api}`,
    hint: 'Start gobgpd, or name what its --api-hosts says with --gobgp-api.',
    retryable: true,
    cause,
  })

const refusedSocket = (api: string, cause: ServiceError): BallastError =>
  new BallastError({
    code: 'BGP_SOCKET_REFUSED',
    message: `the interface of GoBGP may not be used: ${cause.details}`,
    hint: `Run the worker as root, or as a member of the group of ${api}.`,
    cause,
  })

const lost = (api: string, cause: ServiceError): BallastError =>
  new BallastError({
    code: 'BGP_DAEMON_LOST',
    message: `the connection to GoBGP on ${api} broke: ${cause.details}`,
    hint: 'Nothing needs to be done if it happens once: it is tried again.',
    retryable: true,
    cause,
  })

const hung = (api: string, cause: unknown): BallastError =>
  new BallastError({
    code: 'BGP_DAEMON_HUNG',
    message: `GoBGP took a call on ${api} and did not answer within ${ANSWER_WITHIN_MS} ms`,
    hint: 'Look at what gobgpd does (its log, its load); restart it if it hangs.',
    retryable: true,
    cause,
  })

const missing = (apiDir: string): BallastError =>
  new BallastError({
    code: 'BGP_API_MISSING',
    message: `${DEFINITIONS.join(', ')}, which define GoBGP's interface, are not in ${apiDir}`,
    hint: 'They are in a release of Ballast, and in Debian’s golang-github-osrg-gobgp-dev; --gobgp-api-dir names their folder.',
  })
