/** One secret per line, so that an old and a new one can hold for a while. Lines of blanks and `#` are nothing. */
export function parseSecrets(text: string): { value: readonly string[] } | { problem: string } {
  const secrets = text
    .split('\n')
    .map(line => line.trim())
    .filter(line => line !== '' && !line.startsWith('#'))
  return secrets.length === 0 ? { problem: 'it holds no secret' } : { value: secrets }
}
