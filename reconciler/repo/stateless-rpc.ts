import { text } from 'node:stream/consumers'
import { pipeline } from 'node:stream/promises'
import { BallastError } from '../../schemas/ballast-error.ts'
import type { Program } from '../process/run-command.ts'
import { type ByteReader, createByteReader } from './byte-reader.ts'
import { type GitPlace, startGit } from './git-command.ts'
import type { HttpResponse } from './http-client.ts'

export interface StatelessRpc {
  /** For messages. */
  readonly url: string
  readonly place: GitPlace
  /** `fetch-pack` or `send-pack` with `--stateless-rpc`, and more. */
  readonly args: readonly string[]
  /** What it reads first: refs in packets, a flush, what the server advertised. */
  readonly input: Uint8Array
  /** One request to the server. */
  readonly post: (body: Uint8Array) => Promise<HttpResponse>
}

export interface RpcEnd {
  readonly exitCode: number | null
  /** On standard error. */
  readonly said: string
}

/** Runs git's half of a smart transport, whose requests and answers are carried by `post`. Throws `GIT_REMOTE_FAILED` and what `post` throws. */
export async function runStatelessRpc({ url, place, args, input, post }: StatelessRpc): Promise<RpcEnd> {
  const program = await startGit(place, args, { stderr: 'pipe' })
  const said = text(program.stderr!)
  const requests = createByteReader(program.stdout!)
  try {
    program.stdin!.write(input)
    for (;;) {
      // It may have nothing to ask, and says then by its end how it went.
      const request = await readRequest(requests).catch(() => NOTHING)
      if (request.length === 0) break
      const response = await post(request)
      await pipeline(response.body, program.stdin!, { end: false })
    }
    program.stdin!.end()
    await requests.drain()
    const { exitCode } = await program.exited
    return { exitCode, said: await said }
  } catch (cause) {
    await stop(program, requests)
    if (cause instanceof BallastError) throw cause
    throw brokeOff(url, cause, await said)
  } finally {
    await stop(program, requests)
  }
}

const NOTHING = Buffer.alloc(0)

/** A program counts as ended when all that it said has been read. */
async function stop(program: Program, requests: ByteReader): Promise<void> {
  await Promise.all([program.stop(0), requests.drain()])
}

/** What one POST carries: git wraps it into packets that end with a flush. Empty: it has no more to ask. */
async function readRequest(requests: ByteReader): Promise<Buffer> {
  const parts: Uint8Array[] = []
  for (;;) {
    const length = Number.parseInt(Buffer.from(await requests.bytes(4)).toString('latin1'), 16)
    if (!(length > 4)) return Buffer.concat(parts)
    parts.push(await requests.bytes(length - 4))
  }
}

export const brokeOff = (url: string, cause: unknown, said = ''): BallastError => {
  const why = said.trim().split('\n').slice(-2).join('; ') || (cause as Error).message
  return new BallastError({
    code: 'GIT_REMOTE_FAILED',
    message: `${url} did not hand out everything: ${why}`,
    hint: 'Nothing of it is used. It is tried again.',
    retryable: true,
    cause,
  })
}
