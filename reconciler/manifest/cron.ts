import { Cron } from 'croner'
import type { FreezeWindow } from '../../schemas/manifest/rollout.ts'

/** Why a schedule or its time zone means nothing; null: it does. */
export function findCronProblem({
  schedule,
  timeZone,
}: Pick<FreezeWindow, 'schedule' | 'timeZone'>): string | null {
  try {
    new Intl.DateTimeFormat('en', { timeZone })
  } catch {
    return `${timeZone} is no time zone`
  }
  try {
    return parse(schedule, timeZone).nextRun(new Date(0)) === null ? 'it never begins' : null
  } catch (error) {
    return (error as Error).message.replace(/^CronPattern: /, '')
  }
}

/** The last beginning of a schedule at or before a time, or the next after it, ms since the epoch; null: none. */
export function beginningOf(
  window: Pick<FreezeWindow, 'schedule' | 'timeZone'>,
  which: 'last' | 'next',
  at: number,
): number | null {
  const cron = parse(window.schedule, window.timeZone)
  if (which === 'next') return cron.nextRun(new Date(at))?.getTime() ?? null
  // Seen from the second after, of which the first moment counts: one that begins now has begun.
  const runs = cron.previousRuns(2, new Date(at + 1000)).map(run => run.getTime())
  return runs.find(run => run <= at) ?? null
}

/** Nothing is scheduled: without a function to call, it is a calendar alone. */
const parse = (schedule: string, timezone: string): Cron => new Cron(schedule, { mode: '5-part', timezone })
