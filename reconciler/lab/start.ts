import { spawn } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'
import concurrently from 'concurrently'
import { redisSocket, writeSettings } from './control-plane.ts'
import { labDown, labUp } from './lab.ts'
import { createPolicyRepository, giveToSudoUser, type PolicyRepository } from './policy-repository.ts'
import { startBackends } from './traffic.ts'

const ROOT = resolve(import.meta.dirname, '../..')
const NAME = 'start'
const RESTART_DELAY_MS = 1_000

/**
 * Runs the Procfile on a lab with the example fleet until SIGINT or SIGTERM, then takes the lab down. A process
 * that dies is started again. Tells on stdout where to push, what to try, and what the processes say.
 */
export async function runStart(): Promise<void> {
  const lab = await labUp(NAME, process.pid)
  try {
    await startBackends(lab)
    const policy = await createPolicyRepository(lab.dir)
    await policy.commit('the example fleet')
    await policy.push()
    await giveToSudoUser(policy)
    const settings = await writeSettings(lab, { repo: policy.bare, redis: `unix:${redisSocket(lab)}` })
    process.stdout.write(explain(policy, settings))
    await runProcfile(settings)
  } finally {
    await labDown(lab.name)
    process.stdout.write('The lab is taken down.\n')
  }
}

async function runProcfile(settings: string): Promise<void> {
  const env = {
    BALLAST_LAB: NAME,
    BALLAST_CONFIG: settings,
    // sudo leaves a path of its own, without this node.
    PATH: `${dirname(process.execPath)}:${process.env.PATH}`,
  }
  const commands = parseProcfile(await readFile(resolve(ROOT, 'Procfile'), 'utf8'))
  const { result } = concurrently(
    commands.map(each => ({ ...each, env })),
    {
      cwd: ROOT,
      prefix: 'name',
      padPrefix: true,
      prefixColors: 'auto',
      restartTries: -1,
      restartDelay: RESTART_DELAY_MS,
      // Each in a process group of its own: Ctrl-C reaches it once, through concurrently, and not twice.
      spawn: (command, options) => spawn('/bin/sh', ['-c', command], { ...options, detached: true }),
    },
  )
  // Rejects with how each ended, which was said already.
  await result.catch(() => {})
}

/** Lines of `name: command`; `#` begins a comment. */
export function parseProcfile(text: string): { name: string; command: string }[] {
  return [...text.matchAll(/^([\w-]+):[ \t]*(.+)$/gm)].map(([, name = '', command = '']) => ({
    name,
    command,
  }))
}

const explain = ({ bare, clone }: PolicyRepository, settings: string): string => `
Ballast runs on a lab: client – router – lb-1, lb-2 – backend-1, backend-2, backend-3.

  The repository that it follows   ${bare}
  A clone of it to edit            ${clone}

Try, in another terminal:

  a request           nsenter --net=/run/netns/bl-${NAME}-client curl http://203.0.113.10/     (as root)
  a change            cd ${clone}; edit pools/web.yaml; git commit -am 'a change'; git push
  what it will do     npm run ballast -- plan --config ${settings} --repo ${clone}     (before the push)
  how things are      npm run ballast -- status --config ${settings}

Ctrl-C takes everything down. What happens:

`
