import { type GobgpPlace, isDaemonDown, openGobgp } from './client.ts'
import { lookAtGobgp } from './look.ts'
import { composePath, limitRoutes } from './routes.ts'

/**
 * Switches all announcements of this node off or on: the routes stay in GoBGP, marked as sent to nobody, and their peers
 * are told at once. A GoBGP that does not run announces nothing. Throws what the client throws otherwise.
 */
export async function switchGobgpAnnouncements(place: GobgpPlace, on: boolean): Promise<void> {
  const client = openGobgp(place)
  try {
    const { routes, peers } = await lookAtGobgp(client)
    const rows = peers.map(({ row }) => row)
    const configured = routes.map(({ row }) => row)
    const next = on ? limitRoutes(configured, rows) : configured.map(row => ({ row, sentTo: [] }))
    await Promise.all(next.map(route => client.call('AddPath', { path: composePath(route) })))
  } catch (error) {
    if (!isDaemonDown(error)) throw error
  } finally {
    client.close()
  }
}
