import type { Rule } from './rule.ts'

const gueUnused: Rule = {
  id: 'gue-unused',
  severity: 'error',
  *check({ services }) {
    for (const service of services) {
      const { gue, forwarding } = service.spec
      if (gue === undefined || forwarding === 'gue') continue
      yield {
        at: service.locate(['spec', 'gue']),
        message: `Service ${service.metadata.name} says what GUE looks like, and forwards by ${forwarding}.`,
        hint: 'Set forwarding: gue, or remove gue.',
      }
    }
  },
}

const greUnused: Rule = {
  id: 'gre-unused',
  severity: 'error',
  *check({ services }) {
    for (const service of services) {
      const { gre, forwarding } = service.spec
      if (gre === undefined || forwarding === 'gre') continue
      yield {
        at: service.locate(['spec', 'gre']),
        message: `Service ${service.metadata.name} says what GRE looks like, and forwards by ${forwarding}.`,
        hint: 'Set forwarding: gre, or remove gre.',
      }
    }
  },
}

/** What the way of forwarding needs, and what it has no use for. */
export const forwardingRules: readonly Rule[] = [gueUnused, greUnused]
