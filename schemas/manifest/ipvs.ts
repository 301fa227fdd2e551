import { z } from 'zod'
import { IpvsScheduler } from '../node-state.ts'
import { Address, Port } from './fields.ts'

/** What only the dataplane `ipvs` has. */

/** `maglev` is the `mh` of the kernel. */
export const Scheduler = z.enum(['maglev', ...IpvsScheduler.exclude(['mh']).options])

/** 31 days: what ipvsadm takes. */
const LONGEST_PERSISTENCE = 31 * 86_400

export const ServiceIpvs = z
  .strictObject({
    fwmark: z
      .int()
      .min(1)
      .max(0xffffffff)
      .optional()
      .describe(
        'Packets that the firewall of the node marks with this number are one service, whatever their ports. In place of ports.',
      ),
    schedulerFlags: z
      .strictObject({
        port: z
          .boolean()
          .optional()
          .describe('Whether the source port chooses too. maglev: true by default, sh: false.'),
        fallback: z
          .boolean()
          .optional()
          .describe(
            'Whether the next backend is taken where one has the weight 0 or is full. maglev: true by default, sh: false.',
          ),
      })
      .optional()
      .describe('How maglev and sh choose, where the defaults do not do.'),
    persistence: z
      .strictObject({
        timeout: z
          .int()
          .min(1)
          .max(LONGEST_PERSISTENCE)
          .default(300)
          .describe('Seconds without a connection after which a client may get another backend.'),
        ipv4PrefixLength: z
          .int()
          .min(1)
          .max(32)
          .default(32)
          .describe('Clients with this many bits in common are one.'),
        ipv6PrefixLength: z
          .int()
          .min(1)
          .max(128)
          .default(128)
          .describe('Clients with this many bits in common are one.'),
      })
      .optional()
      .describe('All connections of a client go to the backend of its first.'),
    onePacket: z.boolean().default(false).describe('Every UDP packet is scheduled by itself. For UDP alone.'),
  })
  .describe('What only the dataplane ipvs has.')

export const Thresholds = z
  .strictObject({
    upper: z
      .int()
      .min(1)
      .max(0x7fffffff)
      .describe('Connections, open and closing, from which on the backend gets no more.'),
    lower: z
      .int()
      .min(0)
      .max(0x7fffffff)
      .default(0)
      .describe('Connections below which it gets some again; 0: three quarters of upper.'),
  })
  .describe('How many connections a backend of the dataplane ipvs takes.')

const InterfaceName = z.string().regex(/^[^\s/:.][^\s/:]{0,14}$/)

const SyncDaemon = z
  .strictObject({
    role: z
      .enum(['master', 'backup'])
      .describe('master: tells of its connections; backup: learns of others.'),
    interface: InterfaceName.describe('The interface that they are told on. It needs an address.'),
    id: z
      .int()
      .min(0)
      .max(255)
      .default(0)
      .describe('Backups learn from masters with the same number; 0: from all.'),
    group: Address.default('224.0.0.81').describe('The multicast group that it speaks to.'),
    port: Port.default(8848).describe('The UDP port that it speaks to.'),
    ttl: z.int().min(1).max(255).default(1).describe('Routers that a message may pass, and one.'),
    maxLength: z.int().min(1).max(65_507).default(1472).describe('Bytes in one message.'),
  })
  .describe('A daemon of the kernel that copies connections between nodes.')

/** Of what Git may set, nothing reaches further than IPVS, forwarding and ARP. */
const SysctlName = z
  .string()
  .regex(
    /^net\.(ipv4\.(vs\.[a-z_]+|ip_forward|conf\.[A-Za-z0-9_/-]+\.(arp_ignore|arp_announce|rp_filter|forwarding|send_redirects))|ipv6\.conf\.[A-Za-z0-9_/-]+\.forwarding)$/,
  )
  .describe(
    'net.ipv4.vs.*, net.ipv4.ip_forward, net.ipv6.conf.*.forwarding, or of net.ipv4.conf.*: arp_ignore, arp_announce, rp_filter, forwarding, send_redirects. A dot inside the name of an interface is written as /.',
  )

const Seconds = z.int().min(1).max(LONGEST_PERSISTENCE)

export const NodeIpvs = z
  .strictObject({
    interface: InterfaceName.default('lo').describe(
      'The interface that VIPs of IPVS are put on: lo, or a dummy interface that exists.',
    ),
    timeouts: z
      .strictObject({
        tcp: Seconds.default(900).describe('Seconds for an established TCP connection.'),
        tcpFin: Seconds.default(120).describe('Seconds for a TCP connection that is closing.'),
        udp: Seconds.default(300).describe('Seconds for a UDP flow.'),
      })
      .optional()
      .describe('Seconds after which what is idle is forgotten. Without it, as the machine has them.'),
    sync: z.array(SyncDaemon).max(2).default([]).describe('Daemons that copy connections between nodes.'),
    sysctls: z
      .record(SysctlName, z.union([z.int(), z.string().regex(/^-?\d+( -?\d+)*$/)]).transform(String))
      .default({})
      .describe('Sysctls that are kept at a value, besides those that IPVS needs, or in place of them.'),
  })
  .describe('What holds for the services of IPVS on this node, while it has some.')
