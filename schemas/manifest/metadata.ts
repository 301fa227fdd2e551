import { z } from 'zod'
import { Annotations, Labels, Name } from './fields.ts'

/** The group of every manifest of Ballast; `apiVersion` is the group, a slash and a version. */
export const API_GROUP = 'ballast.dev'
export const API_VERSION = `${API_GROUP}/v1`

export const ApiVersion = z.literal(API_VERSION).describe('The version of this format.')

export const Metadata = z
  .strictObject({
    name: Name.describe(
      'Unique among the manifests of its kind: 1 to 63 lower-case letters, digits and hyphens, with no hyphen at either end.',
    ),
    labels: Labels.default({}),
    annotations: Annotations.default({}),
  })
  .describe('What names the manifest.')
export type Metadata = z.output<typeof Metadata>
