import { Socket } from 'node:net'
import { type ExecaError, execa } from 'execa'
import { BallastError } from '../../schemas/ballast-error.ts'

export interface CommandOptions {
  /** ms until the command is ended; 10,000 when left out. */
  readonly timeout?: number
  readonly cwd?: string
  /** The whole environment of the command; this process's own when left out. */
  readonly env?: Readonly<Record<string, string | undefined>>
  /** Written to its standard input, which is empty when left out. */
  readonly input?: string | Uint8Array
  readonly signal?: AbortSignal
  /** Exit codes that are answers and not failures; [0] when left out. */
  readonly okExitCodes?: readonly number[]
  /** Largest output that is taken, bytes; 64 MiB when left out. */
  readonly maxBytes?: number
}

export interface CommandResult {
  readonly exitCode: number
  readonly stdout: string
  readonly stderr: string
}

const DEFAULT_TIMEOUT_MS = 10_000
const DEFAULT_MAX_BYTES = 64 << 20
/** From the polite signal to the one that cannot be ignored. */
const KILL_AFTER_MS = 2_000

/**
 * Runs a program with an argument array, never through a shell, and takes its output as UTF-8 text as it
 * came, final newline included. Throws `COMMAND_NOT_FOUND`, `COMMAND_NOT_STARTED`, `COMMAND_TIMED_OUT`,
 * `COMMAND_ABORTED`, `COMMAND_OUTPUT_TOO_LARGE`, `COMMAND_FAILED`.
 */
export async function runCommand(
  file: string,
  args: readonly string[],
  options: CommandOptions = {},
): Promise<CommandResult> {
  const timeout = options.timeout ?? DEFAULT_TIMEOUT_MS
  const result = await execa(file, args, {
    ...place(options),
    ...(options.signal && { cancelSignal: options.signal }),
    timeout,
    forceKillAfterDelay: KILL_AFTER_MS,
    maxBuffer: options.maxBytes ?? DEFAULT_MAX_BYTES,
    input: options.input ?? '',
    stripFinalNewline: false,
    reject: false,
  })
  const { exitCode, stdout, stderr } = result
  if (exitCode !== undefined && !result.timedOut && !result.isCanceled && !result.isMaxBuffer) {
    if ((options.okExitCodes ?? [0]).includes(exitCode)) return { exitCode, stdout, stderr }
  }
  throw commandError(file, timeout, result as unknown as ExecaError)
}

export interface ProgramOptions {
  readonly cwd?: string
  /** The whole environment of the program; this process's own when left out. */
  readonly env?: Readonly<Record<string, string | undefined>>
  /** `ignore` when left out: nothing to read, output thrown away. */
  readonly stdin?: 'pipe' | 'inherit' | 'ignore'
  readonly stdout?: 'pipe' | 'inherit' | 'ignore'
  readonly stderr?: 'pipe' | 'inherit' | 'ignore'
  /** In a process group of its own: Ctrl-C on the terminal does not reach it, nor does it end with this process. */
  readonly detached?: boolean
}

export interface ProgramExit {
  /** Null when a signal ended it. */
  readonly exitCode: number | null
  readonly signal: string | null
}

/** A program that goes on running beside this one. */
export interface Program {
  readonly pid: number
  /** These are null unless asked for as `pipe`. */
  readonly stdin: NodeJS.WritableStream | null
  readonly stdout: NodeJS.ReadableStream | null
  readonly stderr: NodeJS.ReadableStream | null
  /** Never rejects. */
  readonly exited: Promise<ProgramExit>
  /** Lets this process end while the program still runs, and with it its pipes. */
  unref(): void
  /** Takes `unref` back: this process stays for the program. */
  ref(): void
  /** SIGTERM, and SIGKILL when it has not ended after `graceMs` (2,000 when left out). */
  stop(graceMs?: number): Promise<ProgramExit>
}

/**
 * Starts a program with an argument array, never through a shell, and does not wait for its end. Unless
 * detached it is ended when this process ends. Throws `COMMAND_NOT_FOUND`, `COMMAND_NOT_STARTED`.
 */
export async function startProgram(
  file: string,
  args: readonly string[],
  options: ProgramOptions = {},
): Promise<Program> {
  const child = execa(file, args, {
    ...place(options),
    stdin: options.stdin ?? 'ignore',
    stdout: options.stdout ?? 'ignore',
    stderr: options.stderr ?? 'ignore',
    detached: options.detached ?? false,
    cleanup: !(options.detached ?? false),
    buffer: false,
    reject: false,
  })
  const exited = child.then(result => ({ exitCode: result.exitCode ?? null, signal: result.signal ?? null }))
  const { pid } = child
  if (pid === undefined) throw commandError(file, 0, (await child) as unknown as ExecaError)
  // A program that ends with its input half read is told by `exited`, not by a broken pipe.
  child.stdin?.on('error', () => {})
  return {
    pid,
    stdin: child.stdin,
    stdout: child.stdout,
    stderr: child.stderr,
    exited,
    unref() {
      child.unref()
      for (const pipe of pipesOf(child)) pipe.unref()
    },
    ref() {
      child.ref()
      for (const pipe of pipesOf(child)) pipe.ref()
    },
    async stop(graceMs = KILL_AFTER_MS) {
      child.kill('SIGTERM')
      const timer = setTimeout(() => child.kill('SIGKILL'), graceMs)
      try {
        return await exited
      } finally {
        clearTimeout(timer)
      }
    },
  }
}

/** Pipes of a child process are sockets, whatever their type says. */
const pipesOf = ({ stdin, stdout, stderr }: Record<'stdin' | 'stdout' | 'stderr', unknown>): Socket[] =>
  [stdin, stdout, stderr].filter(pipe => pipe instanceof Socket).filter(({ destroyed }) => !destroyed)

function place(options: Pick<CommandOptions, 'cwd' | 'env'>) {
  return {
    ...(options.cwd !== undefined && { cwd: options.cwd }),
    ...(options.env && { env: options.env, extendEnv: false as const }),
  }
}

function commandError(file: string, timeout: number, cause: ExecaError): BallastError {
  const fault = (code: string, message: string, hint: string, retryable = false): BallastError =>
    new BallastError({ code, message, hint, retryable, cause })

  if (cause.code === 'ENOENT') {
    return fault('COMMAND_NOT_FOUND', `${file} is not installed`, `Install ${file}, or put it on the PATH.`)
  }
  if (cause.timedOut) {
    const message = `${file} did not end within ${timeout} ms`
    return fault('COMMAND_TIMED_OUT', message, 'See what it waits for by running it by hand.', true)
  }
  if (cause.isCanceled) {
    return fault(
      'COMMAND_ABORTED',
      `${file} was ended before it was done`,
      'Run it again if it is wanted.',
      true,
    )
  }
  if (cause.isMaxBuffer) {
    return fault('COMMAND_OUTPUT_TOO_LARGE', `${file} wrote more than is taken`, 'Ask it for less at a time.')
  }
  if (cause.exitCode === undefined && cause.signal === undefined) {
    return fault(
      'COMMAND_NOT_STARTED',
      `${file} could not be started: ${cause.originalMessage}`,
      'See the cause.',
    )
  }
  const end = cause.exitCode === undefined ? `was ended by ${cause.signal}` : `ended with ${cause.exitCode}`
  const said = lastLines(String(cause.stderr || cause.stdout || ''))
  return fault('COMMAND_FAILED', `${file} ${end}${said && `: ${said}`}`, `The command was: ${cause.command}`)
}

/** The end of what a program said, on one line. */
const lastLines = (text: string): string => text.trim().split('\n').slice(-4).join('; ').slice(-500)
