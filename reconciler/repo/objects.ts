import { BallastError } from '../../schemas/ballast-error.ts'
import type { GitPlace } from './git-command.ts'
import { type GitObjects, type Objects, openGitObjects } from './git-objects.ts'

/**
 * Objects of a repository, read through one `git cat-file` that stays: to start git takes longer than all that a push
 * asks of it. One that ended is replaced. Throws what `GitObjects` throws.
 */
export function createObjects(place: GitPlace): Objects {
  let running: Promise<GitObjects> | null = null

  async function ask<T>(question: (objects: GitObjects) => Promise<T>): Promise<T> {
    const known = running
    const current = known ?? openGitObjects(place)
    running = current
    try {
      return await question(await current)
    } catch (error) {
      if (error instanceof BallastError && ANSWERS.includes(error.code)) throw error
      if (running === current) running = null
      // Nobody reads from it any more.
      current.then(objects => objects.close()).catch(() => {})
      // It may have ended long ago, when nothing was asked.
      if (known === null) throw error
      return await ask(question)
    }
  }

  return {
    sizes: oids => ask(objects => objects.sizes(oids)),
    treeOf: revision => ask(objects => objects.treeOf(revision)),
    readTrees: oids => ask(objects => objects.readTrees(oids)),
    readBlobs: oids => ask(objects => objects.readBlobs(oids)),
    readCommits: oids => ask(objects => objects.readCommits(oids)),
  }
}

/** What git itself says of an object. */
const ANSWERS = ['OBJECT_MISSING', 'OBJECT_UNREADABLE']
