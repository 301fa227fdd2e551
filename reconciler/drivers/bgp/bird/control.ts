import { connect, type Socket } from 'node:net'
import { BallastError } from '../../../../schemas/ballast-error.ts'
import { createReplyReader, type Reply } from './reply.ts'

/** One connection to BIRD's control socket. Commands are answered in turn. */
export interface BirdControl {
  /** What BIRD answers, errors too. Throws `BGP_DAEMON_HUNG`, `BGP_DAEMON_UNREACHABLE`. */
  ask(command: string): Promise<Reply>
  /** Lines that BIRD says without being asked, until the connection ends or is aborted (`echo`). */
  listen(signal: AbortSignal): AsyncIterable<string>
  close(): void
}

/** BIRD has one thread: what takes longer than this holds up its sessions too. */
const ANSWER_WITHIN_MS = 3_000
/** BIRD ends the connection of who sends lines longer than its buffer of 4 KiB. */
const LONGEST_COMMAND = 4_000

/** Throws `BGP_DAEMON_UNREACHABLE` when nobody listens on the socket, `BGP_SOCKET_REFUSED`, `BGP_DAEMON_HUNG`. */
export async function openBirdControl(path: string): Promise<BirdControl> {
  const socket = await connectTo(path)
  const reader = createReplyReader()
  const unasked: string[] = []
  let news = Promise.withResolvers<void>()
  let answer: PromiseWithResolvers<Reply> | null = Promise.withResolvers<Reply>()
  let ended: BallastError | null = null

  const end = (error: BallastError): void => {
    ended ??= error
    answer?.reject(ended)
    news.resolve()
    socket.destroy()
  }
  socket.on('data', (text: string) => {
    try {
      const { replies, spontaneous } = reader.read(text)
      unasked.push(...spontaneous)
      if (spontaneous.length > 0) news.resolve()
      for (const reply of replies) answer?.resolve(reply)
    } catch (cause) {
      end(unreachable(path, cause))
    }
  })
  socket.on('error', cause => end(unreachable(path, cause)))
  socket.on('close', () => end(unreachable(path, null)))

  const answered = async (): Promise<Reply> => {
    const timer = setTimeout(() => end(hung(path)), ANSWER_WITHIN_MS)
    try {
      return await answer!.promise
    } finally {
      clearTimeout(timer)
      answer = null
    }
  }
  await answered()

  return {
    async ask(command) {
      if (command.length > LONGEST_COMMAND || /[\n\r]/.test(command))
        throw new TypeError(`no command of BIRD: ${command.slice(0, 80)}`)
      if (ended !== null) throw ended
      answer = Promise.withResolvers<Reply>()
      socket.write(`${command}\n`)
      return answered()
    },
    async *listen(signal) {
      signal.addEventListener('abort', () => end(unreachable(path, signal.reason)), { once: true })
      while (!signal.aborted) {
        yield* unasked.splice(0)
        if (ended !== null) return
        await news.promise
        news = Promise.withResolvers<void>()
      }
    },
    close: () => void socket.end(),
  }
}

/** Opens a connection for `work` and closes it after. */
export async function withBird<Result>(
  path: string,
  work: (control: BirdControl) => Promise<Result>,
): Promise<Result> {
  const control = await openBirdControl(path)
  try {
    return await work(control)
  } finally {
    control.close()
  }
}

/** Nobody listens: the daemon is not there, and its sessions are not either. */
export const isDaemonDown = (error: unknown): boolean =>
  error instanceof BallastError && error.code === 'BGP_DAEMON_UNREACHABLE'

function connectTo(path: string): Promise<Socket> {
  const { promise, resolve, reject } = Promise.withResolvers<Socket>()
  const socket = connect({ path })
  socket.setEncoding('utf8')
  socket.once('error', cause => reject(isRefused(cause) ? refused(path, cause) : unreachable(path, cause)))
  socket.once('connect', () => {
    socket.removeAllListeners('error')
    resolve(socket)
  })
  return promise
}

const unreachable = (path: string, cause: unknown): BallastError =>
  new BallastError({
    code: 'BGP_DAEMON_UNREACHABLE',
    message: `BIRD does not answer on ${path}${cause instanceof Error ? ` (${cause.message})` : ''}`,
    hint: 'Start BIRD, or name its control socket with --bird-socket.',
    retryable: true,
    cause,
  })

/** It runs, and is not ours to speak to: what it announces stays. */
const isRefused = (cause: NodeJS.ErrnoException): boolean => cause.code === 'EACCES' || cause.code === 'EPERM'

const refused = (path: string, cause: Error): BallastError =>
  new BallastError({
    code: 'BGP_SOCKET_REFUSED',
    message: `the control socket of BIRD may not be used: ${cause.message}`,
    hint: `Run the worker as root, or as a member of the group of ${path}.`,
    cause,
  })

const hung = (path: string): BallastError =>
  new BallastError({
    code: 'BGP_DAEMON_HUNG',
    message: `BIRD took a command on ${path} and did not answer within ${ANSWER_WITHIN_MS} ms`,
    hint: 'Look at what BIRD does (its log, its load); restart it if it hangs.',
    retryable: true,
  })
