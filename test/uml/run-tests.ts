import { spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  accessSync,
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { suite, test } from 'node:test'
import type { Line } from './reporter.ts'

/**
 * Runs test files in a kernel of their own: User-mode Linux, on the files of this machine, with modules that the
 * kernel here may lack. What runs inside is root there, and nobody in particular here.
 */

const KERNEL = '/usr/bin/linux.uml'
const MODULES = '/usr/lib/uml/modules'
const MEMORY = '1024M'

const missing = [KERNEL, MODULES, '/usr/sbin/modprobe', '/usr/sbin/ipvsadm'].filter(path => !existsSync(path))

export interface UmlSuite {
  readonly files: readonly string[]
  /** Modules of the kernel, loaded before. */
  readonly modules: readonly string[]
  /** ms until the kernel is ended, whatever it does. */
  readonly limit: number
}

/** A suite with the tests of the files, each as it ended inside. */
export function testInUml(title: string, { files, modules, limit }: UmlSuite): void {
  const skip = missing.length > 0 && `not installed: ${missing.join(', ')}`
  suite(title, { skip }, async () => {
    const { lines, console } = await runInside(files, modules, limit)
    const tests = lines.filter(line => 'test' in line)
    for (const { test: name, error, ms } of tests)
      test(name, t => {
        t.diagnostic(`${Math.round(ms)} ms inside`)
        if (error !== null) throw new Error(error)
      })
    test('all of it ran to its end', t => {
      for (const line of lines) if ('diagnostic' in line) t.diagnostic(line.diagnostic)
      if (tests.length > 0 && lines.some(line => 'ended' in line)) return
      throw new Error(`the tests inside did not end within ${limit} ms:\n${console.slice(-SHOWN)}`)
    })
  })
}

/** Characters of the console that are shown. */
const SHOWN = 4000

async function runInside(files: readonly string[], modules: readonly string[], limit: number) {
  const directory = mkdtempSync(join(tmpdir(), 'ballast-uml-'))
  try {
    writeInit(directory, files, modules)
    const console = await boot(directory, limit)
    const report = join(directory, 'report')
    // A line that was not ended was being written when the kernel ended.
    const written = existsSync(report) ? readFileSync(report, 'utf8').split('\n').slice(0, -1) : []
    return { console, lines: written.map((line): Line => JSON.parse(line)) }
  } finally {
    rmSync(directory, { recursive: true })
  }
}

function writeInit(directory: string, files: readonly string[], modules: readonly string[]): void {
  mkdirSync(join(directory, 'root/lib'), { recursive: true })
  symlinkSync(MODULES, join(directory, 'root/lib/modules'))
  const paths = [resolve(import.meta.dirname, 'reporter.ts'), ...files]
  for (const path of paths) accessSync(path)
  const [reporter, ...tests] = paths
  const run = [
    process.execPath,
    '--test',
    '--test-isolation=none',
    `--test-reporter=${reporter}`,
    `--test-reporter-destination=${join(directory, 'report')}`,
    ...tests,
  ]
  const init = [
    '#!/bin/sh',
    'export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root',
    `export NODE_COMPILE_CACHE='${process.env.NODE_COMPILE_CACHE ?? join(directory, 'cache')}'`,
    'mount -t proc proc /proc',
    'mount -t sysfs sys /sys',
    'mount -t tmpfs run /run',
    'ip link set lo up',
    ...modules.map(name => `modprobe -d '${join(directory, 'root')}' ${name}`),
    `cd '${resolve(import.meta.dirname, '../..')}'`,
    run.map(word => `'${word}'`).join(' '),
    'echo o > /proc/sysrq-trigger',
    'sleep 60',
  ]
  writeFileSync(join(directory, 'init'), `${init.join('\n')}\n`)
  chmodSync(join(directory, 'init'), 0o755)
}

/** Gives what the console said. */
async function boot(directory: string, limit: number): Promise<string> {
  const args = [
    ...['rootfstype=hostfs', 'rootflags=/', 'rw', `init=${join(directory, 'init')}`],
    ...[`mem=${MEMORY}`, 'con=null', 'con0=fd:0,fd:1', `uml_dir=${directory}`],
  ]
  // In a group of its own: it is many processes.
  const kernel = spawn(KERNEL, args, { stdio: ['ignore', 'pipe', 'pipe'], detached: true })
  let said = ''
  for (const stream of [kernel.stdout, kernel.stderr])
    stream.setEncoding('utf8').on('data', text => {
      said += text
    })
  const end = (): void => {
    try {
      process.kill(-kernel.pid!, 'SIGKILL')
    } catch {
      // It has ended.
    }
  }
  const timer = setTimeout(end, limit)
  process.once('exit', end)
  await once(kernel, 'exit')
  clearTimeout(timer)
  process.off('exit', end)
  end()
  return said
}
