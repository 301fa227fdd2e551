import { existsSync } from 'node:fs'
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { BallastError } from '../../schemas/ballast-error.ts'
import { LabRecord } from '../../schemas/lab.ts'
import { runCommand } from '../process/run-command.ts'
import { composeHosts, composeLinks, type HostSetup, hostNames } from './compose-network.ts'
import { endProcessesIn } from './end-processes.ts'
import { TOPOLOGY, type Topology } from './topology.ts'

/** A network of namespaces on this machine, with a BPF file system of its own. */
export interface Lab {
  readonly name: string
  /** Everything that belongs to it on disk; gone when it is taken down. */
  readonly dir: string
  readonly bpffs: string
  readonly topology: Topology
  /** Of a host's own pins: hosts have interfaces of one name. */
  bpffsOf(host: string): string
  namespace(host: string): string
  /** The command that runs `command` on a host. The file systems stay those of this process. */
  on(host: string, command: readonly [file: string, ...args: string[]]): [file: string, args: string[]]
}

const LABS = '/run/ballast/labs'
const OBJECTS = resolve(import.meta.dirname, '../../bpf/build')
const PASS_OBJECT = join(OBJECTS, 'pass.bpf.o')
const CLI = resolve(import.meta.dirname, '../cli.ts')

const dirOf = (name: string): string => join(LABS, name)
const namespaceOf = (name: string, host: string): string => `bl-${name}-${host}`
const recordFile = (name: string): string => join(dirOf(name), 'lab.json')

function describeLab(name: string, topology: Topology): Lab {
  const dir = dirOf(name)
  return {
    name,
    dir,
    bpffs: join(dir, 'bpf'),
    topology,
    bpffsOf: host => join(dir, 'bpf', host),
    namespace: host => namespaceOf(name, host),
    // Not `ip netns exec`, which mounts another /sys and hides what is pinned.
    on: (host, command) => ['nsenter', [`--net=/run/netns/${namespaceOf(name, host)}`, ...command]],
  }
}

/**
 * Makes a lab, or finds the complete one of that name. What a crash left of one is taken down first. Names
 * are short: lower-case letters, digits, hyphens. `owner`: a process whose end makes it an orphan, for
 * `removeOrphans`. Needs root. Throws `LAB_NOT_BUILT`, `LAB_IN_USE`.
 */
export async function labUp(
  name: string,
  owner: number | null = null,
  topology: Topology = TOPOLOGY,
): Promise<Lab> {
  const record = await readRecord(name)
  if (record !== null && isOwned(record)) {
    throw new BallastError({
      code: 'LAB_IN_USE',
      message: `the lab ${name} belongs to process ${record.owner}, which still runs`,
      hint: 'Stop it, or give this lab another name.',
    })
  }
  if (record?.complete && record.namespaces.every(namespaceExists)) {
    return describeLab(name, topology)
  }
  await labDown(name)
  try {
    return await build(describeLab(name, topology), owner)
  } catch (cause) {
    await labDown(name)
    throw new BallastError({
      code: 'LAB_NOT_BUILT',
      message: `the lab ${name} could not be built: ${(cause as Error).message}`,
      hint: 'It needs root, network namespaces, native XDP on veth, and the BPF objects (npm run build:bpf).',
      cause,
    })
  }
}

/** Ends what runs in a lab and removes all of it. False when there was none. Safe to repeat, also after a crash. */
export async function labDown(name: string): Promise<boolean> {
  const record = await readRecord(name)
  if (record === null) return false
  await endProcessesIn(record.namespaces)
  for (const mount of record.mounts)
    await runCommand('umount', ['--quiet', mount], { okExitCodes: [0, 1, 32] })
  for (const namespace of record.namespaces) {
    if (namespaceExists(namespace)) await runCommand('ip', ['netns', 'delete', namespace])
  }
  await rm(dirOf(name), { recursive: true, force: true })
  return true
}

/** Takes down every lab whose owner has ended without doing so. */
export async function removeOrphans(): Promise<void> {
  const names = await readdir(LABS).catch(() => [])
  for (const name of names) {
    const record = await readRecord(name)
    if (record !== null && record.owner !== null && !isOwned(record)) await labDown(name)
  }
}

async function build(lab: Lab, owner: number | null): Promise<Lab> {
  const { name } = lab
  const record: LabRecord = {
    version: 1,
    name,
    owner,
    namespaces: hostNames(lab.topology).map(host => namespaceOf(name, host)),
    mounts: [lab.bpffs],
    complete: false,
  }
  await mkdir(lab.bpffs, { recursive: true })
  await writeRecord(record)
  await runCommand('mount', ['-t', 'bpf', 'bpf', lab.bpffs])
  await runCommand('ip', BATCH, asInput(composeLinks(lab.topology, lab.namespace)))
  await Promise.all(composeHosts(lab.topology).map(setup => buildHost(lab, setup)))
  await writeRecord({ ...record, complete: true })
  return lab
}

async function buildHost(lab: Lab, setup: HostSetup): Promise<void> {
  const sysctls = setup.sysctls.map(([path, value]) => `echo ${value} > /proc/sys/${path}`)
  await runCommand(...lab.on(setup.host, ['sh', '-ec', sysctls.join('\n')]))
  await runCommand(...lab.on(setup.host, ['ip', ...BATCH]), asInput(setup.ip))
  for (const args of setup.ethtool) await runCommand(...lab.on(setup.host, ['ethtool', ...args]))
  for (const name of setup.pass) {
    const attach = ['link', 'set', 'dev', name, 'xdpdrv', 'object', PASS_OBJECT, 'section', 'xdp']
    await runCommand(...lab.on(setup.host, ['ip', ...attach]))
  }
  const place = ['--bpffs', lab.bpffsOf(setup.host)]
  if (setup.ballast.length > 0) await mkdir(lab.bpffsOf(setup.host))
  for (const args of setup.ballast)
    await runCommand(...lab.on(setup.host, [process.execPath, CLI, ...args, ...place]), { timeout: 60_000 })
}

/** `ip` reads its commands from its input. Never with `-n`, which wants to mount things for itself. */
const BATCH = ['-batch', '-']
const asInput = (lines: readonly string[]) => ({ input: `${lines.join('\n')}\n` })

const isOwned = ({ owner }: LabRecord): boolean => owner !== null && existsSync(`/proc/${owner}`)

const namespaceExists = (namespace: string): boolean => existsSync(`/run/netns/${namespace}`)

const writeRecord = (record: LabRecord): Promise<void> =>
  writeFile(recordFile(record.name), `${JSON.stringify(record, null, 2)}\n`)

async function readRecord(name: string): Promise<LabRecord | null> {
  if (!/^[a-z0-9][-a-z0-9]{0,30}$/.test(name)) {
    throw new BallastError({
      code: 'LAB_NAME_INVALID',
      message: `${JSON.stringify(name)} is no name for a lab`,
      hint: 'Use up to 31 lower-case letters, digits and hyphens.',
    })
  }
  try {
    return LabRecord.parse(JSON.parse(await readFile(recordFile(name), 'utf8')))
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null
    throw error
  }
}
