import { mkdir, symlink, writeFile } from 'node:fs/promises'
import { join, relative, resolve } from 'node:path'
import { bundle } from '../../reconciler/build/bundle.ts'
import { EXTERNAL, THREADS } from '../../reconciler/build/entry-points.ts'
import { NODE_FLAGS } from '../../reconciler/process/node-flags.ts'
import { runCommand } from '../../reconciler/process/run-command.ts'

const ROOT = resolve(import.meta.dirname, '../..')

/**
 * Bundles a script and its threads as `npm run build` does, into a folder, and gives the arguments with which a release starts
 * Node for it.
 */
export async function bundleProgram(script: string, dir: string): Promise<string[]> {
  const outDir = join(dir, 'released')
  const entryPoint = relative(ROOT, script)
  await mkdir(outDir)
  await writeFile(join(outDir, 'package.json'), '{"type":"module","version":"0.0.0"}\n')
  await symlink(join(ROOT, 'node_modules'), join(outDir, 'node_modules'))
  await bundle({ root: ROOT, outDir, entryPoints: [entryPoint, ...THREADS], external: EXTERNAL })
  return [...NODE_FLAGS, join(outDir, entryPoint.replace(/\.ts$/, '.js'))]
}

/** Runs such a program once, and gives the JSON that it prints. */
export async function runProgram(program: readonly string[], ...args: string[]): Promise<unknown> {
  const { stdout } = await runCommand(process.execPath, [...program, ...args], { timeout: 300_000 })
  return JSON.parse(stdout)
}
