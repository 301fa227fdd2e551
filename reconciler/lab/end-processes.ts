import { readdir, readlink, stat } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'

const GRACE_MS = 3_000

/** Ends every process inside the network namespaces of `ip netns`: SIGTERM, then SIGKILL. */
export async function endProcessesIn(namespaces: readonly string[]): Promise<void> {
  const start = performance.now()
  for (let signal: NodeJS.Signals | null = 'SIGTERM'; ; ) {
    const pids = await findProcessesIn(namespaces)
    if (pids.length === 0) return
    if (signal !== null) for (const pid of pids) end(pid, signal)
    const late = performance.now() - start > GRACE_MS
    // Repeated: what is being ended may start one more.
    signal = late ? 'SIGKILL' : null
    await sleep(20)
  }
}

/** Pids, this process left out. */
async function findProcessesIn(namespaces: readonly string[]): Promise<number[]> {
  const ids = await Promise.all(
    namespaces.map(name =>
      stat(`/run/netns/${name}`).then(
        ({ ino }) => `net:[${ino}]`,
        () => null,
      ),
    ),
  )
  const pids = (await readdir('/proc')).map(Number).filter(pid => pid > 0 && pid !== process.pid)
  const places = await Promise.all(pids.map(pid => readlink(`/proc/${pid}/ns/net`).catch(() => null)))
  return pids.filter((_, index) => places[index] !== null && ids.includes(places[index]!))
}

function end(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
  }
}
