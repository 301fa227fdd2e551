/** What pages that need nothing else have in common. */

export const PAGE_STYLE = `
body { font: 15px/1.45 system-ui, sans-serif; color: #1b1f24; background: #f6f8fa; margin: 0 auto; max-width: 1100px; padding: 24px }
header { background: white; border-left: 8px solid #2da44e; padding: 4px 20px; margin-bottom: 16px }
header.high { border-color: #cf222e } header.medium { border-color: #d4760a } header.low { border-color: #d4a72c }
h1 { font-size: 20px } h2 { font-size: 17px; margin: 0 0 4px } h3 { font-size: 14px; color: #57606a; margin: 16px 0 4px }
section, table, ul.rules, .note { background: white; border: 1px solid #d0d7de; border-radius: 6px }
section { padding: 16px 20px; margin: 16px 0 } .note { padding: 8px 16px; border-left: 8px solid #d4a72c } .note.refused { border-left-color: #cf222e } ul.rules { padding: 10px 10px 10px 30px }
table { border-collapse: collapse; width: 100% } th, td { text-align: left; padding: 5px 10px; border-bottom: 1px solid #eaeef2 }
td.number { text-align: right; font-variant-numeric: tabular-nums } .create { color: #1a7f37 } .delete { color: #cf222e } .update { color: #9a6700 }
.pictures { display: flex; flex-wrap: wrap; gap: 24px; align-items: flex-start } svg { max-width: 100%; height: auto }
pre { background: white; border: 1px solid #d0d7de; border-radius: 6px; padding: 10px; white-space: pre-wrap; overflow-wrap: anywhere } code, pre { font-size: 13px }
@media (max-width: 700px) { body { padding: 8px } section { padding: 12px } table { display: block; overflow-x: auto } h1, h2, li, .note { overflow-wrap: anywhere } }`

const ENTITIES: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' }

export const escapeHtml = (text: string): string =>
  text.replaceAll(/[&<>"]/g, char => ENTITIES[char]!).replaceAll(/(\d) %/g, '$1&nbsp;%')
