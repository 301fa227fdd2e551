import { mkdir, writeFile } from 'node:fs/promises'
import { join, relative, resolve } from 'node:path'
import { bundle } from '../../reconciler/build/bundle.ts'
import { EXTERNAL, THREADS } from '../../reconciler/build/entry-points.ts'
import { NODE_FLAGS } from '../../reconciler/process/node-flags.ts'
import { runCommand } from '../../reconciler/process/run-command.ts'

const ROOT = resolve(import.meta.dirname, '../..')

/**
 * Bundles a script and its threads as `npm run build` does, into a folder, and gives what runs it with arguments as a release
 * runs Node, once for each call: what it prints, as JSON.
 */
export async function bundleProcess(
  script: string,
  dir: string,
): Promise<(...args: string[]) => Promise<unknown>> {
  const outDir = join(dir, 'released')
  const entryPoint = relative(ROOT, script)
  await mkdir(outDir)
  await writeFile(join(outDir, 'package.json'), '{"type":"module"}\n')
  await bundle({ root: ROOT, outDir, entryPoints: [entryPoint, ...THREADS], external: EXTERNAL })
  const program = join(outDir, entryPoint.replace(/\.ts$/, '.js'))
  return async (...args) => {
    const { stdout } = await runCommand(process.execPath, [...NODE_FLAGS, program, ...args], {
      timeout: 300_000,
    })
    return JSON.parse(stdout)
  }
}
