import { mkdir, writeFile } from 'node:fs/promises'
import { renderJsonSchemas } from './json-schema.ts'

/** `node schemas/generate.ts` writes schemas/json; a test fails when it is not current. */
const folder = new URL('./json/', import.meta.url)
await mkdir(folder, { recursive: true })
for (const [name, text] of renderJsonSchemas()) await writeFile(new URL(name, folder), text)
