import { escapeHtml, PAGE_STYLE } from './page.ts'

/** A page of all that keeps a revision from the nodes, as text. */
export const renderProblems = (revision: string, text: string): string => `<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>Ballast ${revision.slice(0, 12)}</title><style>${PAGE_STYLE}</style></head>
<body>
<header class="high"><h1>Revision <code>${revision.slice(0, 12)}</code> is not on all nodes</h1></header>
<pre>${escapeHtml(text)}</pre>
</body>
</html>
`
