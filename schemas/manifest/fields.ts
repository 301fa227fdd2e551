import ipaddr from 'ipaddr.js'
import { z } from 'zod'
import { canonicalAddress } from '../address.ts'

/** Kinds of values that several manifests share. Each describes itself for JSON Schema and for diagnostics. */

/** A DNS-1123 label (RFC 1123, 2.1). */
export const Name = z
  .string()
  .regex(/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/)
  .describe('A name: 1 to 63 lower-case letters, digits and hyphens, with no hyphen at either end.')

const LabelKey = z
  .string()
  .regex(/^([a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?\/)?[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?$/)
  .describe('A label key: letters, digits, "-", "_" and ".", after a DNS name and "/" if need be.')

const LabelValue = z
  .string()
  .regex(/^([A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?)?$/)
  .describe('A label value: at most 63 letters, digits, "-", "_" and ".".')

export const Labels = z
  .record(LabelKey, LabelValue)
  .describe('Names and values that selectors match. Values are text: quote what looks like a number.')

export const Annotations = z
  .record(z.string().min(1).max(317), z.string())
  .describe('Notes for people and tools. Values are text. Ballast reads `override.ballast.dev/…` alone.')

export const Port = z.int().min(1).max(65535).describe('A port: 1 to 65535.')

export const Weight = z
  .int()
  .min(0)
  .max(65535)
  .describe('The share of new flows relative to the other backends: 0 to 65535. 0 gets none.')

const Ipv4 = z.ipv4()
const Ipv6 = z.ipv6()
const isIpv4 = (text: string) => Ipv4.safeParse(text).success
const isIpv6 = (text: string) => Ipv6.safeParse(text).success

/** Normalised to canonical text (RFC 5952); an IPv4-mapped IPv6 address to its IPv4 address. */
export const Address = z
  .string()
  .transform((text, context) => {
    // Zod takes no dotted quad but the canonical one.
    if (isIpv4(text)) return text
    if (isIpv6(text)) return canonicalAddress(text)
    context.issues.push({ code: 'custom', input: text, message: 'is no IPv4 or IPv6 address' })
    return z.NEVER
  })
  .meta({
    anyOf: [
      { type: 'string', format: 'ipv4' },
      { type: 'string', format: 'ipv6' },
    ],
  })
  .describe('An IPv4 or IPv6 address.')

const V4 = { type: 'string', format: 'cidrv4', pattern: '^[0-9.]+/[0-9]{1,2}$' } as const
const V6 = { type: 'string', format: 'cidrv6', pattern: '^[0-9a-fA-F:.]+/[0-9]{1,3}$' } as const

function prefixOf(family: 'IPv4' | 'IPv6' | 'IPv4 or IPv6') {
  return z
    .string()
    .transform((text, context) => {
      const prefix = canonicalPrefix(text)
      if (prefix !== null && family.includes(prefix.includes(':') ? 'IPv6' : 'IPv4')) return prefix
      context.issues.push({
        code: 'custom',
        input: text,
        message: `is no ${family} prefix in CIDR notation`,
      })
      return z.NEVER
    })
    .describe(`An ${family} prefix in CIDR notation.`)
}

/** `address/bits`, the address in canonical text with its host bits as written; null for what is no prefix. */
function canonicalPrefix(text: string): string | null {
  const [, address, bits] = /^([^/]+)\/(0|[1-9]\d{0,2})$/.exec(text) ?? []
  if (address === undefined || bits === undefined) return null
  if (isIpv4(address)) return Number(bits) <= 32 ? `${address}/${bits}` : null
  if (!isIpv6(address) || Number(bits) > 128) return null
  return `${ipaddr.IPv6.parse(address).toRFC5952String()}/${bits}`
}

export const Prefix = prefixOf('IPv4 or IPv6').meta({ anyOf: [V4, V6] })
export const Prefix4 = prefixOf('IPv4').meta(V4)
export const Prefix6 = prefixOf('IPv6').meta(V6)
