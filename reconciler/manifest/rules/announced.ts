import type { AnnounceSettings } from '../../../schemas/manifest/announce.ts'
import type { Service } from '../../../schemas/manifest/service.ts'
import type { ManifestOf } from '../manifest.ts'
import type { RuleContext } from './rule.ts'

/** Where a service says it. */
export const ANNOUNCE = ['spec', 'announce'] as const

/** A service that is announced, and how. */
export interface Announced {
  readonly service: ManifestOf<Service>
  readonly announce: AnnounceSettings
}

export const announcedIn = ({ services }: RuleContext): Announced[] =>
  services.flatMap(service => {
    const { announce } = service.spec
    return announce === undefined || announce === false ? [] : [{ service, announce }]
  })
