import type { Metrics } from '../metrics/registry.ts'
import type { App } from './app.ts'

export function addMetrics(app: App, metrics: Metrics): void {
  app.get('/metrics', async context => {
    const { text, contentType } = await metrics.scrape()
    return context.body(text, 200, { 'content-type': contentType })
  })
}
