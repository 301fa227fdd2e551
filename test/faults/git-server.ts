import { rm } from 'node:fs/promises'
import { createServer } from 'node:net'
import { dirname, join } from 'node:path'
import { runCommand, startProgram } from '../../reconciler/process/run-command.ts'

/** A Git server on loopback that pushes go through; killed with whatever it is just receiving. */
export interface GitServer {
  readonly pid: () => number
  start(): Promise<void>
  /** kill -9 of the server and of every receive-pack under way. */
  kill(): Promise<void>
  /** Pushes `main` of a clone; again when the server went away under it. Gives the revision. */
  push(clone: string): Promise<string>
}

const PUSH_LIMIT_MS = 60_000
const env = { ...process.env, GIT_CONFIG_GLOBAL: '/dev/null', GIT_CONFIG_SYSTEM: '/dev/null' }

/** For a bare repository, whose server starts by `start`. */
export async function createGitServer(bare: string): Promise<GitServer> {
  const port = await findFreePort()
  const url = `git://127.0.0.1:${port}/${bare.slice(dirname(bare).length + 1)}`
  const args = ['daemon', '--export-all', '--enable=receive-pack', '--reuseaddr', '--listen=127.0.0.1']
  let server: Awaited<ReturnType<typeof startProgram>> | null = null
  return {
    pid: () => server?.pid ?? 0,
    async start() {
      const place = [`--port=${port}`, `--base-path=${dirname(bare)}`, dirname(bare)]
      server = await startProgram('git', [...args, ...place], { env, detached: true })
    },
    async kill() {
      if (server === null) return
      process.kill(-server.pid, 'SIGKILL')
      await server.exited
      server = null
    },
    async push(clone) {
      const end = Date.now() + PUSH_LIMIT_MS
      for (;;) {
        const failure = await runCommand('git', ['-C', clone, 'push', '--quiet', url, 'main'], { env }).then(
          () => null,
          // Also ended by SIGPIPE, when the server goes in the middle of it.
          (error: Error) => error.message,
        )
        if (failure === null) break
        if (Date.now() > end) throw new Error(`the push does not go through: ${failure}`)
        // What a receive-pack that was killed leaves behind, and an operator has to remove.
        if (failure.includes('.lock')) await rm(join(bare, 'refs/heads/main.lock'), { force: true })
      }
      return (await runCommand('git', ['-C', clone, 'rev-parse', 'HEAD'], { env })).stdout.trim()
    },
  }
}

async function findFreePort(): Promise<number> {
  const { promise, resolve } = Promise.withResolvers<number>()
  const probe = createServer().listen(0, '127.0.0.1', () => {
    const { port } = probe.address() as { port: number }
    probe.close(() => resolve(port))
  })
  return await promise
}
