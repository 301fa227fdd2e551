import { Command } from 'commander'
import { runDemo } from '../lab/demo.ts'
import { labDown, labUp } from '../lab/lab.ts'
import { rerunAsRoot } from '../lab/run-as-root.ts'
import { runStart } from '../lab/start.ts'
import { startBackends } from '../lab/traffic.ts'
import { printJson, useColor } from './print.ts'

const NAME = 'lab'

export const labCommand = (): Command =>
  new Command('lab')
    .description('A network of namespaces on this machine, with clients, load balancers and backends.')
    .addCommand(upCommand())
    .addCommand(downCommand())
    .addCommand(demoCommand())
    .addCommand(startCommand())

interface LabOptions {
  readonly name: string
  readonly json?: boolean
}

const upCommand = (): Command =>
  new Command('up')
    .description('Make a lab, its backends serving; nothing more when it is there.')
    .option('--name <name>', 'of the lab', NAME)
    .option('--json', 'print one JSON value: name, dir, bpffs, and the namespace of every host')
    .addHelpText('after', '\nExit codes: 0 up, 1 not.')
    .action(({ name, json }: LabOptions) => asRoot(() => up(name, json === true)))

async function up(name: string, json: boolean): Promise<void> {
  const lab = await labUp(name)
  await startBackends(lab)
  const namespaces = Object.fromEntries(lab.topology.hosts.map(host => [host.name, lab.namespace(host.name)]))
  if (json) return void printJson({ name, dir: lab.dir, bpffs: lab.bpffs, namespaces })
  for (const [host, namespace] of Object.entries(namespaces))
    process.stdout.write(`${host}\t/run/netns/${namespace}\n`)
  process.stdout.write(`BPF file system\t${lab.bpffs}\n`)
}

const downCommand = (): Command =>
  new Command('down')
    .description('End what runs in a lab and remove it; nothing when there is none.')
    .option('--name <name>', 'of the lab', NAME)
    .option('--json', 'print one JSON value: {name, removed}')
    .addHelpText('after', '\nExit codes: 0 there is none any more, 1 it could not be removed.')
    .action(({ name, json }: LabOptions) =>
      asRoot(async () => {
        const removed = await labDown(name)
        if (json === true) printJson({ name, removed })
      }),
    )

const demoCommand = (): Command =>
  new Command('demo')
    .description('Show the main job on a lab of its own: a push changes where packets go.')
    .option('--json', 'print one JSON value (schemas/lab.ts, DemoResult); progress goes to stderr')
    .addHelpText('after', '\nExit codes: 0 all went as it should, 1 not.')
    .action(({ json }: LabOptions) =>
      asRoot(async () => {
        const progress = json === true ? process.stderr : process.stdout
        const result = await runDemo({ progress, color: useColor(progress) })
        if (json === true) printJson(result)
        process.exitCode = result.ok ? 0 : 1
      }),
    )

const startCommand = (): Command =>
  new Command('start')
    .description('Run the Procfile on a lab and keep it up until Ctrl-C.')
    .addHelpText('after', '\nExit codes: 0 asked to stop, 1 could not start.')
    .action(() => asRoot(runStart))

async function asRoot(run: () => Promise<void>): Promise<void> {
  const exitCode = await rerunAsRoot()
  if (exitCode === null) await run()
  else process.exitCode = exitCode
}
