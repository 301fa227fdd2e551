import { mkdir, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { PageKind } from '../http/pages.ts'

/** Pages of plans and revisions on this machine, the newest. */
export interface ForgePages {
  /** Gives the address that people reach it by; null: pages are not shown. */
  put(kind: PageKind, id: string, html: string): Promise<string | null>
  read(kind: PageKind, id: string): Promise<string | null>
}

/** Of each kind; one is some ten to some hundred KiB. */
const KEPT = 200

/** `publicUrl`: where people reach what this process answers; undefined: nowhere. */
export function openForgePages(stateDir: string, publicUrl: string | undefined): ForgePages {
  const folderOf = (kind: PageKind): string => join(stateDir, 'pages', kind)
  return {
    async put(kind, id, html) {
      if (publicUrl === undefined) return null
      const [folder, name] = [folderOf(kind), `${id}.html`]
      await mkdir(folder, { recursive: true })
      await writeFile(join(folder, `${name}.new`), html)
      await rename(join(folder, `${name}.new`), join(folder, name))
      await prune(folder)
      return `${publicUrl.replace(/\/+$/, '')}/pages/${kind}/${id}`
    },
    read: (kind, id) => readFile(join(folderOf(kind), `${id}.html`), 'utf8').catch(() => null),
  }
}

async function prune(folder: string): Promise<void> {
  const names = await readdir(folder)
  if (names.length <= KEPT) return
  const ages = await Promise.all(
    names.map(async name => ({ name, at: (await stat(join(folder, name)).catch(() => null))?.mtimeMs ?? 0 })),
  )
  for (const { name } of ages.sort((a, b) => b.at - a.at).slice(KEPT))
    await rm(join(folder, name), { force: true })
}
