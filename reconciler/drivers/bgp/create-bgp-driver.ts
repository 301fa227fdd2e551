import type { BgpRow, BgpSpeakerRow } from '../../../schemas/node-state.ts'
import type { Driver } from '../driver.ts'

/** Where the BGP daemon of a node is spoken to; what the other daemon needs is not looked at. */
export interface BgpAccess {
  readonly daemon: BgpSpeakerRow['daemon']
  /** Of `bird -s`. */
  readonly birdSocket: string
  /** Of `gobgpd --api-hosts`, and the folder with the definitions of its interface. */
  readonly gobgpApi: string
  readonly gobgpApiDir: string
}

export interface BgpDriverOptions extends BgpAccess {
  /** What BIRD's own configuration includes. */
  readonly birdFile: string
  /** A folder with the files of the passwords that peers name. */
  readonly secretsDir: string
}

/** Throws `BGP_API_MISSING`. A node with BIRD does not load what speaks gRPC. */
export async function createBgpDriver(options: BgpDriverOptions): Promise<Driver<BgpRow>> {
  const { daemon, birdSocket, birdFile, gobgpApi, gobgpApiDir, secretsDir } = options
  if (daemon === 'bird') {
    const { createBirdDriver } = await import('./bird/driver.ts')
    return createBirdDriver({ socket: birdSocket, file: birdFile, secretsDir })
  }
  const { createGobgpDriver } = await import('./gobgp/driver.ts')
  return createGobgpDriver({ api: gobgpApi, apiDir: gobgpApiDir, secretsDir })
}
