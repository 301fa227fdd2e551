import { BallastError } from '../../schemas/ballast-error.ts'
import type { AlertReceiver } from '../../schemas/drift-settings.ts'
import { runCommand } from '../process/run-command.ts'
import type { Sender } from './sender.ts'

const LONGEST_MS = 30_000

/** A program of this machine's operator: its settings name it, and nothing in Git can. Gets `schemas/alert.ts` as JSON on standard input. */
export const createCommandSender = ({ command }: Extract<AlertReceiver, { type: 'command' }>): Sender => ({
  async send(notification) {
    const [file = '', ...args] = command
    const env = { PATH: process.env.PATH }
    await runCommand(file, args, { input: JSON.stringify(notification), timeout: LONGEST_MS, env }).catch(
      (cause: BallastError) => {
        const { message, hint } = cause
        throw new BallastError({ code: 'ALERT_NOT_SENT', message, hint, retryable: true, cause })
      },
    )
  },
})
