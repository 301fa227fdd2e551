/** A command that cannot do what was asked, for a reason that its user can mend: printed without a stack, exit code 1. */
export class CommandFailure extends Error {
  override readonly name = 'CommandFailure'
}
