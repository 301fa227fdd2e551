import { rmSync } from 'node:fs'
import { after, before } from 'node:test'
import { createIpvsDriver } from '../../../../reconciler/drivers/ipvs/driver.ts'
import { runCommand } from '../../../../reconciler/process/run-command.ts'

/** On the tmpfs of the kernel that this runs in. */
export const OWNED_FILE = '/run/ballast/lb-1/ipvs.json'

/** The same node each time, as another process would open it. */
export const open = () => createIpvsDriver({ file: OWNED_FILE })

/** The output of a command, as it came. */
export const run = async (file: string, ...args: string[]): Promise<string> =>
  (await runCommand(file, args)).stdout

/** ipvsadm with lines for `-R`. */
export const restore = async (...lines: readonly string[]): Promise<void> => {
  await runCommand('ipvsadm', ['-R'], { input: `${lines.join('\n')}\n` })
}

/** Nothing in IPVS, nothing owned, and a dummy interface, before and after the tests of a suite. */
export function withCleanKernel(): void {
  const clear = async (): Promise<void> => {
    rmSync(OWNED_FILE, { force: true })
    await run('ipvsadm', '-C')
    await runCommand('ip', ['link', 'del', 'vips'], { okExitCodes: [0, 1] })
    await run('ip', 'addr', 'flush', 'dev', 'lo', 'scope', 'global')
  }
  before(async () => {
    await clear()
    await run('ip', 'link', 'add', 'vips', 'type', 'dummy')
    await run('ip', 'link', 'set', 'vips', 'up')
  })
  after(clear)
}
