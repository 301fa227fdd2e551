import { switchBirdAnnouncements } from './bird/switch.ts'
import type { BgpAccess } from './create-bgp-driver.ts'
import { switchGobgpAnnouncements } from './gobgp/switch.ts'

/** Switches all announcements of a node off or on, whatever is configured: the sessions stay, and their peers are told at once. */
export const switchAnnouncements = (access: BgpAccess, on: boolean): Promise<void> =>
  access.daemon === 'bird'
    ? switchBirdAnnouncements(access.birdSocket, on)
    : switchGobgpAnnouncements({ api: access.gobgpApi, apiDir: access.gobgpApiDir }, on)
