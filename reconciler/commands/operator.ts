import { userInfo } from 'node:os'

/** Who runs a command, for the record: the one who called sudo, else the user; a user without a name by number. */
export function nameOperator(env: NodeJS.ProcessEnv = process.env): string {
  const { SUDO_USER } = env
  if (SUDO_USER !== undefined && SUDO_USER !== '') return SUDO_USER
  try {
    return userInfo().username
  } catch {
    // A container may run as a user that its /etc/passwd does not have.
    return `uid ${process.getuid?.() ?? 'unknown'}`
  }
}
