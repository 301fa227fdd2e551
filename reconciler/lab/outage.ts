import { runCommand } from '../process/run-command.ts'
import type { Lab } from './lab.ts'
import { ROUTER } from './topology.ts'

const tableOf = (host: string): string => `outage_${host.replaceAll('-', '_')}`

const nft = async (lab: Lab, lines: readonly string[]): Promise<void> => {
  await runCommand(...lab.on(ROUTER, ['nft', '-f', '-']), { input: `${lines.join('\n')}\n` })
}

/**
 * Kills a host as reality does: nothing gets to it or from it any more, and its link stays up. (A namespace that is
 * deleted takes the link down, which routers see at once.) Undone by `endOutage`.
 */
export const beginOutage = (lab: Lab, host: string): Promise<void> =>
  nft(lab, [
    `add table netdev ${tableOf(host)}`,
    ...['ingress', 'egress'].map(
      hook =>
        `add chain netdev ${tableOf(host)} ${hook} { type filter hook ${hook} device "${host}" priority -500; policy drop; }`,
    ),
  ])

export const endOutage = (lab: Lab, host: string): Promise<void> =>
  nft(lab, [`delete table netdev ${tableOf(host)}`])
