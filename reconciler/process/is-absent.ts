import { statSync } from 'node:fs'

/**
 * Whether there is nothing of this name. Where that cannot be told, false: who opens it hears why. An error of Node with its
 * stack, at every look for what is mostly not there, costs more than the look.
 */
export function isAbsent(path: string): boolean {
  try {
    return statSync(path, { throwIfNoEntry: false }) === undefined
  } catch {
    return false
  }
}
