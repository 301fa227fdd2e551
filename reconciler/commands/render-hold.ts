import { type Hold, nameScope } from '../../schemas/hold.ts'

export const renderHold = ({ scope, revision, reason, by }: Hold): string =>
  `${nameScope(scope)} is held ${revision === null ? 'as it is' : `at ${revision.slice(0, 12)}`} by ${by}: ${reason}`
