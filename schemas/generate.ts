import { mkdir, writeFile } from 'node:fs/promises'
import { renderOpenApi } from './api/openapi.ts'
import { renderJsonSchemas } from './json-schema.ts'

/** `node schemas/generate.ts` writes schemas/json and docs/openapi.json; tests fail when they are not current. */
const folder = new URL('./json/', import.meta.url)
await mkdir(folder, { recursive: true })
for (const [name, text] of renderJsonSchemas()) await writeFile(new URL(name, folder), text)
await writeFile(new URL('../docs/openapi.json', import.meta.url), renderOpenApi())
