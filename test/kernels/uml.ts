import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { runKernel } from './run-kernel.ts'
import { composeJob, type KernelSuite, PATH, type Ran, REPORTER, testCommand, testInside } from './suite.ts'

/**
 * Runs test files in a kernel of their own: User-mode Linux, on the files of this machine, with modules that the
 * kernel here may lack. What runs inside is root there, and nobody in particular here.
 */

const KERNEL = '/usr/bin/linux.uml'
const MODULES = '/usr/lib/uml/modules'
const MEMORY = '1024M'

const missing = [KERNEL, MODULES, '/usr/sbin/modprobe', '/usr/sbin/ipvsadm'].filter(path => !existsSync(path))

export const testInUml = (title: string, suite: KernelSuite): void =>
  testInside(title, missing.length > 0 && `not installed: ${missing.join(', ')}`, () => runInside(suite))

async function runInside({ files, modules, limit }: KernelSuite): Promise<Ran> {
  const directory = mkdtempSync(join(tmpdir(), 'ballast-uml-'))
  try {
    const report = join(directory, 'report')
    writeInit(directory, { modules, command: testCommand([REPORTER, ...files], report) })
    const console = await runKernel(
      KERNEL,
      [
        ...['rootfstype=hostfs', 'rootflags=/', 'rw', `init=${join(directory, 'init')}`],
        ...[`mem=${MEMORY}`, 'con=null', 'con0=fd:0,fd:1', `uml_dir=${directory}`],
      ],
      limit,
    )
    return { console, report: existsSync(report) ? readFileSync(report, 'utf8') : '' }
  } finally {
    rmSync(directory, { recursive: true })
  }
}

function writeInit(directory: string, job: { modules: readonly string[]; command: readonly string[] }): void {
  const root = join(directory, 'root')
  mkdirSync(join(root, 'lib'), { recursive: true })
  symlinkSync(MODULES, join(root, 'lib/modules'))
  const init = [
    '#!/bin/sh',
    PATH,
    `export NODE_COMPILE_CACHE='${process.env.NODE_COMPILE_CACHE ?? join(directory, 'cache')}'`,
    'mount -t proc proc /proc',
    'mount -t sysfs sys /sys',
    'mount -t tmpfs run /run',
    ...composeJob(job, root),
  ]
  writeFileSync(join(directory, 'init'), `${init.join('\n')}\n`, { mode: 0o755 })
}
