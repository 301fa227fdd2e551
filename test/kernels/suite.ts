import { accessSync } from 'node:fs'
import { resolve } from 'node:path'
import { suite, test } from 'node:test'
import type { Line } from './reporter.ts'

/** Test files that run in another kernel, and what came of them here. */

export interface KernelSuite {
  readonly files: readonly string[]
  /** Modules of the kernel, loaded before. */
  readonly modules: readonly string[]
  /** ms until the kernel is ended, whatever it does. */
  readonly limit: number
}

export interface Ran {
  /** Lines of the reporter. */
  readonly report: string
  readonly console: string
}

/** A suite with the tests of the files, each as it ended inside. */
export function testInside(title: string, skip: string | false, run: () => Promise<Ran>): void {
  suite(title, { skip }, async () => {
    const { report, console } = await run()
    // A line that was not ended was being written when the kernel ended.
    const lines = report
      .split('\n')
      .slice(0, -1)
      .map((line): Line => JSON.parse(line))
    const tests = lines.filter(line => 'test' in line)
    for (const { test: name, error, ms } of tests)
      test(name, t => {
        t.diagnostic(`${Math.round(ms)} ms inside`)
        if (error !== null) throw new Error(error)
      })
    test('all of it ran to its end', t => {
      for (const line of lines) if ('diagnostic' in line) t.diagnostic(line.diagnostic)
      if (tests.length > 0 && lines.some(line => 'ended' in line)) return
      throw new Error(`the tests inside did not end in time:\n${console.slice(-SHOWN)}`)
    })
  })
}

/** Characters of the console that are shown. */
const SHOWN = 4000

export const REPORTER = resolve(import.meta.dirname, 'reporter.ts')

/** What runs the files, and has the reporter write to a file. */
export function testCommand([reporter, ...files]: readonly string[], report: string): string[] {
  for (const path of [reporter!, ...files]) accessSync(path)
  return [
    process.execPath,
    '--test',
    '--test-isolation=none',
    `--test-reporter=${reporter}`,
    `--test-reporter-destination=${report}`,
    ...files,
  ]
}

export const ROOT = resolve(import.meta.dirname, '../..')

/** Lines of a shell, for both kinds of kernels, once its file systems are mounted: modules, the command, the end. */
export function composeJob(
  { modules, command }: { modules: readonly string[]; command: readonly string[] },
  moduleRoot: string,
): string[] {
  return [
    'ip link set lo up',
    ...modules.map(name => `modprobe -d '${moduleRoot}' ${name}`),
    `cd '${ROOT}'`,
    command.map(word => `'${word}'`).join(' '),
    'echo o > /proc/sysrq-trigger',
    'sleep 60',
  ]
}

export const PATH = 'export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root'
