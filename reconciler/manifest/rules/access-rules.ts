import type { Rule } from './rule.ts'

const LISTS = ['allow', 'deny'] as const

const accessPrefixUnique: Rule = {
  id: 'access-prefix-unique',
  severity: 'error',
  local: true,
  *check({ services }) {
    for (const service of services) {
      const seen = new Map<string, string>()
      for (const list of LISTS)
        for (const [index, prefix] of (service.spec.access?.[list] ?? []).entries()) {
          const other = seen.get(prefix)
          if (other !== undefined)
            yield {
              at: service.locate(['spec', 'access', list, index]),
              message: `${prefix} is listed ${other === list ? `twice under ${list}` : `under ${other} and under ${list}`}.`,
              hint: 'Remove one of the two.',
            }
          seen.set(prefix, list)
        }
    }
  },
}

const accessFamily: Rule = {
  id: 'access-family',
  severity: 'warning',
  local: true,
  *check({ services }) {
    for (const service of services) {
      const allow = service.spec.access?.allow
      if (allow === undefined) continue
      for (const [index, vip] of service.spec.vip.entries()) {
        const ipv6 = vip.includes(':')
        if (allow.some(prefix => prefix.includes(':') === ipv6)) continue
        yield {
          at: service.locate(['spec', 'vip', index]),
          message: `No source can reach ${vip}: none of the allowed prefixes is ${ipv6 ? 'IPv6' : 'IPv4'}.`,
          hint: `Add the ${ipv6 ? 'IPv6' : 'IPv4'} prefixes of the sources to access.allow, ${ipv6 ? '"::/0"' : '0.0.0.0/0'} for all of them.`,
        }
      }
    }
  },
}

/** Who is let in. */
export const accessRules: readonly Rule[] = [accessPrefixUnique, accessFamily]
