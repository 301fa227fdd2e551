import { readFileSync } from 'node:fs'
import { Command, Option } from 'commander'
import { sha256 } from '../../schemas/digest.ts'
import { Settings } from '../../schemas/settings.ts'
import { type Role, roleRules, roleUser } from '../queue/acl.ts'
import { CommandFailure } from './outcome.ts'

interface Options {
  readonly role: Role['role']
  readonly node?: string
  readonly passwordFile?: string
}

export const redisAclCommand = (): Command =>
  new Command('acl')
    .description(
      'Print the ACL SETUSER line that gives a role of Ballast what it needs of Redis, and no more.',
    )
    .addOption(
      new Option('--role <role>', 'whose user it is')
        .choices(['reconciler', 'worker', 'status'])
        .makeOptionMandatory(),
    )
    .option('--node <name>', 'the node of a worker; each has a user of its own')
    .option(
      '--password-file <file>',
      'its password, printed as SHA-256; without it nobody can log in as that user',
    )
    .addHelpText('after', '\nExit codes: 0 printed, 1 something is wrong with the options.')
    .action((options: Options) => {
      const who = readRole(options)
      const [reset, on, ...rights] = roleRules(who)
      const password = options.passwordFile === undefined ? [] : [`#${hashOf(options.passwordFile)}`]
      const rules = [reset!, on!, ...password, ...rights].map(rule =>
        rule.includes(' ') ? `"${rule}"` : rule,
      )
      process.stdout.write(`ACL SETUSER ${roleUser(who)} ${rules.join(' ')}\n`)
    })

function readRole({ role, node }: Options): Role {
  if (role !== 'worker') {
    if (node !== undefined) throw new CommandFailure(`--node is for --role worker; ${role} is of no node.`)
    return { role }
  }
  if (node === undefined) throw new CommandFailure('--node is missing: a worker has a user of its own.')
  if (!Settings.shape.node.safeParse(node).success) {
    throw new CommandFailure(`--node: ${JSON.stringify(node)} is no name of a Node.`)
  }
  return { role, node }
}

function hashOf(file: string): string {
  try {
    return sha256(readFileSync(file, 'utf8').trim())
  } catch (error) {
    throw new CommandFailure(`--password-file: ${file} cannot be read (${(error as Error).message}).`)
  }
}
