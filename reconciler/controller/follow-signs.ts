import { Heartbeat } from '../../schemas/heartbeat.ts'
import {
  DEAF_AFTER_MS,
  HANGS_AFTER_MS,
  NO_SIGNS,
  type Signs,
  STILL_AFTER_MS,
} from '../drift/find-fleet-drift.ts'

/** What Redis says of workers at one look. */
export interface FoundSigns {
  /** Who listens for calls; null: nobody can say. */
  readonly listening: ReadonlySet<string> | null
  /** The heartbeat that stands there, by node. */
  readonly heartbeats: ReadonlyMap<string, string>
}

/** Who gives a sign of life. Clocks of workers do not count, only that what they tell changes. */
export interface SignFollower {
  /** Null: Redis does not say. What was known is forgotten: workers come back one after the other. */
  take(found: FoundSigns | null): void
  /** By the last look: of what came since nobody knows. */
  of(node: string): Signs
  /** It has reported anew, `isOther`: by another process, which may be of a version that gives no signs of life. */
  reported(node: string, isOther: boolean): void
  /** Another process found it to give no sign since then. */
  restore(node: string, since: number): void
  /** When what was seen will have lasted long enough, ms since the epoch. */
  dueAt(): number[]
}

interface Known {
  /** What stood there first may be of a worker that is dead. */
  readonly text: string | null
  /** When it was seen to change; null: never. */
  readonly heardAt: number | null
  readonly doing: Signs['doing']
}

/** `now`: ms since the epoch. */
export function followSigns(now: () => number): SignFollower {
  /** Of nodes that were heard to listen: since when they do not; null: they do. */
  const deaf = new Map<string, number | null>()
  const hearts = new Map<string, Known>()
  let lookedAt = 0

  function takeListening(listening: ReadonlySet<string> | null): void {
    if (listening === null) deaf.clear()
    for (const [node, since] of deaf) if (listening?.has(node) === false) deaf.set(node, since ?? lookedAt)
    for (const node of listening ?? []) deaf.set(node, null)
  }

  function takeHeartbeat(node: string, text: string): void {
    const known = hearts.get(node)
    if (known?.text === text) return
    const isChange = known !== undefined && known.text !== null
    hearts.set(node, {
      text,
      heardAt: isChange ? lookedAt : (known?.heardAt ?? null),
      doing: isChange ? readDoing(text, lookedAt) : (known?.doing ?? null),
    })
  }

  return {
    take(found) {
      lookedAt = now()
      if (found === null) {
        deaf.clear()
        hearts.clear()
        return
      }
      takeListening(found.listening)
      for (const [node, text] of found.heartbeats) takeHeartbeat(node, text)
    },
    of(node) {
      const known = hearts.get(node)
      return known === undefined && !deaf.has(node)
        ? NO_SIGNS
        : {
            lookedAt,
            deafSince: deaf.get(node) ?? null,
            heardAt: known?.heardAt ?? null,
            doing: known?.doing ?? null,
          }
    },
    reported(node, isOther) {
      if (isOther || hearts.get(node)?.text === null) hearts.delete(node)
    },
    restore(node, since) {
      deaf.set(node, Math.min(since, deaf.get(node) ?? since))
      const known = hearts.get(node)
      if (known?.heardAt == null) hearts.set(node, { text: null, doing: null, ...known, heardAt: since })
    },
    dueAt: () => [
      ...[...deaf.values()].flatMap(since => (since === null ? [] : [since + DEAF_AFTER_MS])),
      ...[...hearts.values()].flatMap(({ heardAt, doing }) => [
        ...(heardAt === null ? [] : [heardAt + STILL_AFTER_MS]),
        ...(doing === null ? [] : [doing.since + HANGS_AFTER_MS]),
      ]),
    ],
  }
}

function readDoing(text: string, at: number): Signs['doing'] {
  try {
    const { doing } = Heartbeat.parse(JSON.parse(text))
    return doing === null ? null : { what: doing.what, since: at - doing.forMs }
  } catch {
    return null
  }
}
