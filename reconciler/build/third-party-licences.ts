import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { z } from 'zod'

const PackageFile = z.looseObject({
  name: z.string(),
  version: z.string(),
  license: z.string().optional(),
  homepage: z.string().optional(),
})

/** The licences of packages, by their folders from the root, as one text in the order of their names. */
export async function collectLicences(root: string, folders: readonly string[]): Promise<string> {
  const notices = await Promise.all(
    folders.map(async folder => {
      const file = join(root, folder, 'package.json')
      const { name, version, license, homepage } = PackageFile.parse(JSON.parse(await readFile(file, 'utf8')))
      const title = `${name} ${version} (${license ?? 'licence: see below'})`
      const text = await readLicence(join(root, folder))
      return [title, '='.repeat(title.length), ...(homepage === undefined ? [] : [homepage]), '', text].join(
        '\n',
      )
    }),
  )
  return `${notices.sort().join('\n\n')}\n`
}

async function readLicence(folder: string): Promise<string> {
  const names = (await readdir(folder)).filter(name => /^(licen[cs]e|notice|copying)/i.test(name)).sort()
  const texts = await Promise.all(names.map(name => readFile(join(folder, name), 'utf8')))
  return texts.length === 0
    ? 'The package brings no text of its licence beside its name.'
    : texts.map(text => text.trim()).join('\n\n')
}
