import { switchBirdAnnouncements } from './bird/switch.ts'
import type { BgpAccess } from './create-bgp-driver.ts'

/** Switches all announcements of a node off or on, whatever is configured: the sessions stay, and their peers are told at once. */
export async function switchAnnouncements(access: BgpAccess, on: boolean): Promise<void> {
  if (access.daemon === 'bird') return await switchBirdAnnouncements(access.birdSocket, on)
  // A node with BIRD does not load what speaks gRPC.
  const { switchGobgpAnnouncements } = await import('./gobgp/switch.ts')
  await switchGobgpAnnouncements({ api: access.gobgpApi, apiDir: access.gobgpApiDir }, on)
}
