import { interfaceIndex } from '../../reconciler/drivers/xdp/libc.ts'
import { member, openBalancer } from './balancer.ts'
import { buildFrame } from './packet.ts'

/**
 * Run inside a network namespace, whose routes `bpf_fib_lookup` then sees:
 * `node fib-probe.ts '{"device": ..., "source": ..., "vip": ..., "backend": ..., "bytes": ...}'` prints what the
 * balancer, with egress by FIB, does with one packet that came in there.
 */

export interface Probe {
  readonly device: string
  readonly source: string
  readonly vip: string
  readonly backend: string
  /** Of the payload. */
  readonly bytes: number
}

export interface ProbeResult {
  readonly action: string
  readonly counted: Readonly<Record<string, number>>
  /** Hexadecimal. */
  readonly sent: string
  readonly frame: string
}

const XDP_MD_BYTES = 24

async function probe({ device, source, vip, backend, bytes }: Probe): Promise<ProbeResult> {
  const service = { vip, port: 443, protocol: 'tcp', members: [member(backend)], slots: 0 } as const
  using balancer = await openBalancer({ services: [service], settings: { egress: 'fib' } })
  const sent = buildFrame({ ...service, source, sourcePort: 40_000, payload: Buffer.alloc(bytes) })
  const context = Buffer.alloc(XDP_MD_BYTES)
  context.writeUInt32LE(sent.length, 4)
  context.writeUInt32LE(interfaceIndex(device), 12)
  const { action, frame } = balancer.send(sent, context)
  return { action, counted: balancer.counted(), sent: sent.toString('hex'), frame: frame.toString('hex') }
}

if (import.meta.main) {
  const probes: Probe[] = JSON.parse(process.argv[2] ?? '[]')
  const results: ProbeResult[] = []
  for (const one of probes) results.push(await probe(one))
  console.log(JSON.stringify(results))
}
