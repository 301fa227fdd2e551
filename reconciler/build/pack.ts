import { createWriteStream } from 'node:fs'
import { pipeline } from 'node:stream/promises'
import { createGzip } from 'node:zlib'
import { startProgram } from '../process/run-command.ts'

/**
 * Packs a folder as `.tar.gz`, the same bytes for the same files: sorted by name, owned by root, without times.
 * Throws when tar fails.
 */
export async function pack(parent: string, folder: string, file: string): Promise<void> {
  const args = [
    ...['--create', '--directory', parent, '--format', 'gnu', '--sort', 'name', '--mtime', '@0'],
    ...['--owner', '0', '--group', '0', '--numeric-owner', '--mode', 'u+rw,go+r,go-w,a+X', folder],
  ]
  const tar = await startProgram('tar', args, { stdout: 'pipe', stderr: 'inherit' })
  await pipeline(tar.stdout!, createGzip({ level: 6 }), createWriteStream(file))
  const { exitCode } = await tar.exited
  if (exitCode !== 0) throw new Error(`tar ended with ${exitCode}`)
}
