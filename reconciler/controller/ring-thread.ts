import { parentPort } from 'node:worker_threads'
import { doRingTask, type RingTask } from './ring-task.ts'

parentPort!.on('message', (task: RingTask) => parentPort!.postMessage(doRingTask(task)))
