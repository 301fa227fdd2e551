import { BallastError } from '../../../../schemas/ballast-error.ts'
import { withBird } from './control.ts'
import { ROUTES4, ROUTES6 } from './names.ts'
import { isError } from './reply.ts'

/** BIRD says it of a protocol that it does not have. */
const UNKNOWN = 9001

/**
 * Switches all announcements of this node off or on, whatever the file says: the sessions stay, and their peers are told at
 * once. Throws what `withBird` throws, and `BGP_COMMAND_REFUSED`.
 */
export const switchBirdAnnouncements = (socket: string, on: boolean): Promise<void> =>
  withBird(socket, async control => {
    for (const protocol of [ROUTES4, ROUTES6]) {
      const reply = await control.ask(`${on ? 'enable' : 'disable'} ${protocol}`)
      if (!isError(reply) || reply.code === UNKNOWN) continue
      throw new BallastError({
        code: 'BGP_COMMAND_REFUSED',
        message: `BIRD did not ${on ? 'enable' : 'disable'} ${protocol}: ${reply.text}`,
        hint: 'Is its control socket a restricted one (`bird -R`, `restrict`)? Ballast needs the other.',
        retryable: true,
      })
    }
  })
