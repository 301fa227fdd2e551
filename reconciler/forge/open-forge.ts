import type { Forge, ForgeOptions } from './forge.ts'
import { createGitea } from './gitea.ts'
import { createGitHub } from './github.ts'
import { createGitLab } from './gitlab.ts'

const KINDS = { github: createGitHub, gitlab: createGitLab, gitea: createGitea } as const

export const openForge = (options: ForgeOptions): Forge => KINDS[options.kind](options)
