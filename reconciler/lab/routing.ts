import { mkdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type Program, runCommand, startProgram } from '../process/run-command.ts'
import { composeBalancerBird, composeReflectorBird, composeRouterBird } from './compose-bird.ts'
import type { Lab } from './lab.ts'
import { hostsOf, ROUTER } from './topology.ts'

/** Where a host's BIRD is controlled, and the file that Ballast writes for it. */
export interface BirdPlace {
  readonly socket: string
  readonly file: string
}

/** What would be on a tmpfs elsewhere: gone after a boot. */
export const runtimeDir = (lab: Lab): string => join(lab.dir, 'run')

export const birdPlace = (lab: Lab, host: string): BirdPlace => ({
  socket: join(lab.dir, 'bird', `${host}.ctl`),
  file: join(runtimeDir(lab), host, 'bird.conf'),
})

/** Where a host's GoBGP is spoken to. */
export const gobgpApi = (lab: Lab, host: string): string => `unix://${gobgpSocket(lab, host)}`
const gobgpSocket = (lab: Lab, host: string): string => join(lab.dir, 'bird', `${host}.gobgp`)

/**
 * Puts BGP in the place of the lab's static routes to VIPs: BIRD on the router, on the reflector if there is one, and on every
 * load balancer but those that run GoBGP; what is on a load balancer announces nothing until Ballast tells it. They end with the lab.
 */
export async function startRouting(lab: Lab, gobgp: readonly string[] = []): Promise<void> {
  const { topology } = lab
  const balancers = hostsOf(topology, 'lb').filter(({ name }) => !gobgp.includes(name))
  await mkdir(join(lab.dir, 'bird'), { recursive: true })
  for (const { name } of hostsOf(topology, 'lb'))
    await mkdir(join(runtimeDir(lab), name), { recursive: true })
  for (const prefix of Object.values(topology.vipPrefixes))
    await runCommand(...lab.on(ROUTER, ['ip', 'route', 'del', prefix]))
  const log = (host: string): string => join(lab.dir, 'bird', `${host}.log`)
  await writeConfig(lab, ROUTER, composeRouterBird(topology, log(ROUTER)))
  for (const reflector of hostsOf(topology, 'reflector'))
    await writeConfig(lab, reflector.name, composeReflectorBird(topology, reflector, log(reflector.name)))
  for (const { name, addresses } of balancers) {
    // A pattern, since BIRD does not start without a file that it includes by its very name.
    const include = join(runtimeDir(lab), name, '[b]ird.conf')
    await writeConfig(lab, name, composeBalancerBird(addresses.ipv4, { log: log(name), include }))
  }
  const others = [...balancers, ...hostsOf(topology, 'reflector')].map(({ name }) => name)
  await Promise.all([ROUTER, ...others].map(host => startBird(lab, host)))
  for (const host of gobgp) await startGobgp(lab, host)
}

/** One that ran before is gone. */
export async function startGobgp(lab: Lab, host: string): Promise<Program> {
  await rm(gobgpSocket(lab, host), { force: true })
  return await startProgram(
    ...lab.on(host, ['gobgpd', '--api-hosts', gobgpApi(lab, host), '--pprof-disable', '--log-level', 'warn']),
  )
}

/** One that ran before is gone. */
export async function startBird(lab: Lab, host: string): Promise<void> {
  const { socket } = birdPlace(lab, host)
  await runCommand(
    ...lab.on(host, ['bird', '-c', configOf(lab, host), '-s', socket, '-P', pidFileOf(lab, host)]),
  )
}

/** What birdc prints. */
export async function askBird(lab: Lab, host: string, ...command: string[]): Promise<string> {
  const { stdout } = await runCommand('birdc', ['-s', birdPlace(lab, host).socket, ...command], {
    okExitCodes: [0, 1],
  })
  return stdout
}

export const pidFileOf = (lab: Lab, host: string): string => join(lab.dir, 'bird', `${host}.pid`)
/** BIRD's own configuration of a host, which includes Ballast's file. */
export const configOf = (lab: Lab, host: string): string => join(lab.dir, 'bird', `${host}.conf`)
const writeConfig = (lab: Lab, host: string, text: string): Promise<void> =>
  writeFile(configOf(lab, host), text)
