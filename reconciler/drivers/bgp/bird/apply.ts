import { rename, rm } from 'node:fs/promises'
import { setTimeout as delay } from 'node:timers/promises'
import { isDeepStrictEqual } from 'node:util'
import { BallastError } from '../../../../schemas/ballast-error.ts'
import type { Edit } from '../../../../schemas/edit.ts'
import type { BgpRow, Table } from '../../../../schemas/node-state.ts'
import { editRows } from '../batch.ts'
import { peersOf, readSecrets } from '../secrets.ts'
import { refuseHalfFinished } from './administrator.ts'
import { type ConfigFile, composeConfig, readConfig } from './compose-config.ts'
import { type ConfigFiles, includePattern, readText, writeSecret } from './config-file.ts'
import { type BirdControl, isDaemonDown, openBirdControl } from './control.ts'
import { protocolOf, ROUTES4, ROUTES6 } from './names.ts'
import { type BirdPlace, hasForeignBfd, observeBird } from './observe.ts'
import { type BirdState, observeRows } from './observe-rows.ts'
import { isError, type Reply } from './reply.ts'
import { askRunning } from './running.ts'

/** BIRD goes back by itself when nobody confirms, s. */
const UNDO_AFTER_S = 10
/** Until BIRD runs what it read; it may have to end a session first. */
const RECONFIGURED_WITHIN_MS = 5_000
/** Until what was configured was sent to peers whose sessions are up. */
const EXPORTED_WITHIN_MS = 2_000
const LOOK_EVERY_MS = 20

/** `Reconfigured` */
const DONE = 3
/** Done, in progress, queued behind another one. */
const ACCEPTED = [DONE, 4, 5, 6]

/**
 * Makes BIRD as the edits say, all at once or not at all. When BIRD does not run, its file is written for when it
 * starts, and this throws if anything but withdrawals was asked for. Throws a `BallastError` that says what holds
 * for all of the edits.
 */
export async function applyBird(place: BirdPlace, edits: readonly Edit<BgpRow>[]): Promise<void> {
  const { rows, config, state } = await observeBird(place)
  const wanted = editRows(config?.rows ?? rows, edits)
  const secrets = await readSecrets(place.secretsDir, peersOf(wanted))
  const text = composeConfig({ rows: wanted, secrets, ownBfd: !hasForeignBfd(state.protocols) })

  let control: BirdControl
  try {
    control = await openBirdControl(place.socket)
  } catch (error) {
    if (!isDaemonDown(error)) throw error
    if (config !== null || Object.keys(wanted).length > 0)
      await writeSecret(place.files.file, text, place.socket)
    if (edits.every(({ op }) => op === 'delete')) return
    throw error
  }
  try {
    if (config?.digest !== readConfig(text)!.digest || !runsRoutesOf(config, state)) {
      const soft = config !== null && isDeepStrictEqual(sessionsOf(config.rows), sessionsOf(wanted))
      await reconfigure(control, place, text, soft ? 'soft ' : '')
    }
    await enableAll(control, wanted)
  } finally {
    control.close()
  }
  await untilExported(place, edits)
}

/** BIRD may have read its routes from another file than Ballast's, with the same digest in it (`birdc configure FILE`). */
function runsRoutesOf({ rows }: ConfigFile, { routes }: BirdState): boolean {
  const run = observeRows({ rows } as ConfigFile, { routes, protocols: [], exported: new Map() })
  return isDeepStrictEqual(routesIn(run), routesIn(rows))
}

const routesIn = (rows: Table<BgpRow>): Table<BgpRow> =>
  Object.fromEntries(Object.entries(rows).filter(([, { kind }]) => kind === 'route'))

/** What is not a route: `soft` leaves running sessions alone whatever their filters say, and is for routes alone. */
const sessionsOf = (rows: Table<BgpRow>): Table<BgpRow> =>
  Object.fromEntries(Object.entries(rows).filter(([, { kind }]) => kind !== 'route'))

/**
 * Checked before it takes the place of the one in use, confirmed when BIRD says that it runs it, else undone: by
 * this, or by BIRD itself if this ends meanwhile.
 */
async function reconfigure(
  control: BirdControl,
  place: BirdPlace,
  text: string,
  soft: string,
): Promise<void> {
  const { files, socket } = place
  await refuseHalfFinished(control, [files.file])
  await checkAlone(control, place, text)
  const before = await readText(files.file)
  await rename(files.next, files.file)
  const putBack = async (): Promise<void> => {
    if (before === null) await writeSecret(files.file, composeConfig(NOTHING), socket)
    else await writeSecret(files.file, before, socket)
  }
  const reply = await control.ask(`configure ${soft}timeout ${UNDO_AFTER_S}`)
  if (!ACCEPTED.includes(reply.code)) {
    await putBack()
    throw refused(reply)
  }
  const digest = readConfig(text)!.digest
  const within = reply.code === DONE ? 0 : RECONFIGURED_WITHIN_MS
  if (!(await untilRunning(control, digest, within))) {
    const isIncluded = (await askRunning(control)) !== null
    await control.ask('configure undo')
    await putBack()
    throw notRunning(files, isIncluded)
  }
  await control.ask('configure confirm')
  await writeSecret(files.confirmed, text, socket)
}

const NOTHING = { rows: {}, secrets: new Map<string, string>(), ownBfd: false }

/** By itself it is no whole configuration: a number for the router is missing. */
async function checkAlone(control: BirdControl, { files, socket }: BirdPlace, text: string): Promise<void> {
  await writeSecret(files.next, text, socket)
  const alone = `${files.next}.check`
  await writeSecret(alone, `router id 192.0.2.1;\nprotocol device { }\ninclude "${files.next}";\n`, socket)
  const reply = await control.ask(`configure check "${alone}"`)
  await rm(alone)
  if (isError(reply)) throw refused(reply)
}

async function untilRunning(control: BirdControl, digest: string, within: number): Promise<boolean> {
  const deadline = Date.now() + within
  for (;;) {
    if ((await askRunning(control)) === digest) return true
    if (Date.now() >= deadline) return false
    await delay(LOOK_EVERY_MS)
  }
}

/** What somebody disabled by hand, and what BIRD disabled because of an error. */
async function enableAll(control: BirdControl, rows: Table<BgpRow>): Promise<void> {
  const names = new Set(peersOf(rows).map(({ name }) => protocolOf(name)))
  const reply = await control.ask('show protocols')
  for (const { code, text } of reply.lines) {
    const [name, , , state] = text.split(/\s+/)
    const isOurs = names.has(name!) || name === ROUTES4 || name === ROUTES6
    if (code === 1002 && isOurs && state === 'down') await control.ask(`enable ${name}`)
  }
}

/** Not a failure if it is not: what is read back decides. */
async function untilExported(place: BirdPlace, edits: readonly Edit<BgpRow>[]): Promise<void> {
  const routes = edits.filter(({ key }) => key.startsWith('route/'))
  const deadline = Date.now() + EXPORTED_WITHIN_MS
  while (routes.length > 0 && Date.now() < deadline) {
    const { rows } = await observeBird(place)
    if (
      routes.every(edit => isDeepStrictEqual(rows[edit.key], edit.op === 'delete' ? undefined : edit.after))
    )
      return
    await delay(LOOK_EVERY_MS)
  }
}

const refused = ({ text }: Reply): BallastError =>
  new BallastError({
    code: 'BGP_CONFIG_REFUSED',
    message: `BIRD refused the new configuration: ${text}`,
    hint: 'Names that begin with ballast are Ballast’s in BIRD; see docs/bgp.md for what BIRD must have. The old configuration stays.',
    retryable: true,
  })

const notRunning = ({ file }: ConfigFiles, isIncluded: boolean): BallastError =>
  isIncluded
    ? new BallastError({
        code: 'BGP_NOT_RECONFIGURED',
        message: `BIRD read ${file} and did not come to run it within ${RECONFIGURED_WITHIN_MS} ms`,
        hint: 'Look at what BIRD waits for: birdc show protocols.',
        retryable: true,
      })
    : new BallastError({
        code: 'BGP_INCLUDE_MISSING',
        message: `BIRD's configuration does not include ${file}`,
        hint: `Add the line include "${includePattern(file)}"; to bird.conf, and run birdc configure.`,
        retryable: true,
      })
