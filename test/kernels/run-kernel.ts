import { spawn } from 'node:child_process'
import { once } from 'node:events'

const SETPRIV = '/usr/bin/setpriv'

/**
 * Runs a kernel as a program until it ends by itself, or is ended after `limit` ms, or with this process; gives what its
 * console said.
 */
export async function runKernel(file: string, args: readonly string[], limit: number): Promise<string> {
  // In a group of its own: it may be many processes. By setpriv(1) it ends, too, when this process is killed.
  const kernel = spawn(SETPRIV, ['--pdeathsig', 'KILL', file, ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
  })
  let said = ''
  for (const stream of [kernel.stdout, kernel.stderr])
    stream.setEncoding('utf8').on('data', text => {
      said += text
    })
  const end = (): void => {
    try {
      process.kill(-kernel.pid!, 'SIGKILL')
    } catch {
      // It has ended.
    }
  }
  const timer = setTimeout(end, limit)
  process.once('exit', end)
  await once(kernel, 'exit')
  clearTimeout(timer)
  process.off('exit', end)
  end()
  return said
}
