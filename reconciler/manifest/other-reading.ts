/** What YAML 1.1 makes of a plain scalar, if that is another thing than what YAML 1.2 makes of it. */
export function otherReading(source: string): { why: string; hint: string } | null {
  if (/^([yYnN]|[yY]es|YES|[oO]n|ON|[nN]o|NO|[oO]ff|OFF)$/.test(source)) {
    const meaning = /^(y|on$)/i.test(source)
    return {
      why: `it is text in YAML 1.2 and ${meaning} in YAML 1.1`,
      hint: `Write ${meaning}, or quote it if it is text.`,
    }
  }
  if (/^[-+]?0\d+$/.test(source))
    return {
      why: 'the zero in front makes it octal in YAML 1.1',
      hint: 'Remove the zero, or quote it if it is text.',
    }
  if (/^0o[0-7]+$/.test(source))
    return {
      why: 'it is octal in YAML 1.2 and text in YAML 1.1',
      hint: `Write ${Number(source)}, or quote it if it is text.`,
    }
  if (/^[-+]?(\d[\d_]*_[\d_]*|0b[01_]+|0x[\da-fA-F]*_[\da-fA-F_]*)$/.test(source))
    return {
      why: 'it is text in YAML 1.2 and a number in YAML 1.1',
      hint: 'Write the number in plain digits, or quote it if it is text.',
    }
  if (/^[-+]?\d[\d_]*(:[0-5]?\d)+(\.[\d_]*)?$/.test(source))
    return { why: 'it is text in YAML 1.2 and a number to the base of 60 in YAML 1.1', hint: 'Quote it.' }
  return null
}
