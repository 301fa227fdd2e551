/** Files that are started by name, as programs. */
export const PROGRAMS = ['backend-server', 'hold-connection', 'load-generator'].map(
  name => `reconciler/lab/${name}.ts`,
)
/** Files that are started by name, as threads. */
export const THREADS = ['reconciler/controller/ring-thread.ts', 'reconciler/drivers/xdp/slots-thread.ts']
/** Finds its native part by its own place on the disk. */
export const EXTERNAL = ['koffi']
