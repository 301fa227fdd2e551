import { readFile } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { redisSocket, writeSettings } from './control-plane.ts'
import { type Lab, labDown, labUp } from './lab.ts'
import { createPolicyRepository, giveToSudoUser, type PolicyRepository } from './policy-repository.ts'
import { startRouting } from './routing.ts'
import { parseProcfile, runProcfile } from './run-procfile.ts'
import { startBackends } from './traffic.ts'

const ROOT = resolve(import.meta.dirname, '../..')
const NAME = 'start'

/**
 * Runs the Procfile on a lab with the example fleet until SIGINT or SIGTERM, then takes the lab down. A process
 * that dies is started again. Tells on stdout where to push, what to try, and what the processes say.
 */
export async function runStart(): Promise<void> {
  const lab = await labUp(NAME, process.pid)
  try {
    await startRouting(lab)
    await startBackends(lab)
    const policy = await createPolicyRepository(lab.dir)
    await policy.commit('the example fleet')
    await policy.push()
    await giveToSudoUser(policy)
    const settings = await writeSettings(lab, { repo: policy.bare, redis: `unix:${redisSocket(lab)}` })
    process.stdout.write(explain(policy, settings))
    await runUntilStopped(lab, settings)
  } finally {
    await labDown(lab.name)
    process.stdout.write('The lab is taken down.\n')
  }
}

async function runUntilStopped(lab: Lab, settings: string): Promise<void> {
  const stop = new AbortController()
  const onSignal = (): void => stop.abort()
  process.on('SIGINT', onSignal)
  process.on('SIGTERM', onSignal)
  const entries = parseProcfile(await readFile(resolve(ROOT, 'Procfile'), 'utf8'))
  const width = Math.max(...entries.map(({ name }) => name.length))
  await runProcfile(entries, {
    cwd: ROOT,
    // sudo leaves a path of its own, without this node.
    env: {
      ...process.env,
      PATH: `${dirname(process.execPath)}:${process.env.PATH}`,
      BALLAST_LAB: NAME,
      BALLAST_CONFIG: settings,
      BALLAST_BIRD: join(lab.dir, 'bird'),
    },
    signal: stop.signal,
    say: (name, line) => process.stdout.write(`${name.padEnd(width)} | ${line}\n`),
  })
}

const explain = ({ bare, clone }: PolicyRepository, settings: string): string => `
Ballast runs on a lab: client – router – lb-1, lb-2 – backend-1, backend-2, backend-3.

  The repository that it follows   ${bare}
  A clone of it to edit            ${clone}

Try, in another terminal:

  a change            cd ${clone}; edit pools/web.yaml; git commit -am 'a change'; git push

and as root:

  a request           nsenter --net=/run/netns/bl-${NAME}-client curl http://203.0.113.10/
  what a push will do npm run ballast -- plan --config ${settings} --repo ${clone}     (before the push)
  how things are      npm run ballast -- status --config ${settings}
  what is announced   birdc -s /run/ballast/labs/${NAME}/bird/router.ctl show route

Ctrl-C takes everything down. What happens:

`
