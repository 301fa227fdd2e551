import { FlowState } from './flow-entry.ts'
import { Tcp } from './packet.ts'

/** Buckets without an empty entry, and what becomes of them. */

export const newcomers = { syn: Tcp.syn, ack: Tcp.ack, fin: Tcp.fin | Tcp.ack, udp: undefined } as const
const { syn, confirmed, fin, udp } = FlowState

/** Four entries, as state and ticks idle; who comes; the way it takes, and whether a live flow lost it. */
export const FULL: readonly {
  what: string
  entries: readonly (readonly [state: number, idle: number])[]
  newcomer: keyof typeof newcomers
  takes: number | 'nothing'
  evicts?: boolean
}[] = [
  {
    what: 'gives an expired connection to a SYN, before one that was closed',
    entries: [
      [fin, 20],
      [syn, 30],
      [confirmed, 7203],
      [confirmed, 9],
    ],
    newcomer: 'syn',
    takes: 2,
  },
  {
    what: 'gives an expired SYN',
    entries: [
      [syn, 63],
      [syn, 30],
      [udp, 9],
      [confirmed, 9],
    ],
    newcomer: 'syn',
    takes: 0,
  },
  {
    what: 'gives the oldest of what expired, also when it was closed',
    entries: [
      [syn, 63],
      [fin, 200],
      [fin, 9],
      [confirmed, 9],
    ],
    newcomer: 'syn',
    takes: 1,
  },
  {
    what: 'gives an expired UDP flow',
    entries: [
      [udp, 290],
      [udp, 280],
      [confirmed, 9],
      [udp, 303],
    ],
    newcomer: 'syn',
    takes: 3,
  },
  {
    what: 'gives an entry in no known state',
    entries: [
      [udp, 9],
      [fin, 9],
      [15, 9],
      [syn, 9],
    ],
    newcomer: 'syn',
    takes: 2,
  },
  {
    what: 'gives a closed connection before a SYN, though it was used later',
    entries: [
      [syn, 50],
      [syn, 40],
      [confirmed, 100],
      [fin, 1],
    ],
    newcomer: 'syn',
    takes: 3,
  },
  {
    what: 'gives the oldest SYN to a SYN',
    entries: [
      [confirmed, 5000],
      [syn, 10],
      [syn, 50],
      [udp, 200],
    ],
    newcomer: 'syn',
    takes: 2,
    evicts: true,
  },
  {
    what: 'of connections gives nothing to a SYN, however idle they are',
    entries: [
      [confirmed, 7190],
      [confirmed, 7000],
      [confirmed, 1],
      [confirmed, 0],
    ],
    newcomer: 'syn',
    takes: 'nothing',
  },
  {
    what: 'of connections and UDP flows gives nothing to a SYN',
    entries: [
      [udp, 290],
      [confirmed, 7000],
      [udp, 1],
      [confirmed, 0],
    ],
    newcomer: 'syn',
    takes: 'nothing',
  },
  {
    what: 'of connections gives nothing to UDP, which anyone can forge as well',
    entries: [
      [confirmed, 7190],
      [confirmed, 7000],
      [confirmed, 1],
      [confirmed, 0],
    ],
    newcomer: 'udp',
    takes: 'nothing',
  },
  {
    what: 'of connections gives nothing to a stray FIN',
    entries: [
      [confirmed, 7190],
      [syn, 50],
      [udp, 290],
      [confirmed, 0],
    ],
    newcomer: 'fin',
    takes: 'nothing',
  },
  {
    what: 'gives the oldest UDP flow to UDP',
    entries: [
      [confirmed, 5000],
      [udp, 10],
      [udp, 90],
      [confirmed, 6000],
    ],
    newcomer: 'udp',
    takes: 2,
    evicts: true,
  },
  {
    what: 'gives a SYN to UDP',
    entries: [
      [confirmed, 5000],
      [udp, 200],
      [syn, 3],
      [udp, 250],
    ],
    newcomer: 'udp',
    takes: 2,
    evicts: true,
  },
  {
    what: 'gives the oldest connection to a connection',
    entries: [
      [confirmed, 50],
      [confirmed, 7000],
      [confirmed, 10],
      [confirmed, 0],
    ],
    newcomer: 'ack',
    takes: 1,
    evicts: true,
  },
  {
    what: 'gives a UDP flow to a connection',
    entries: [
      [confirmed, 50],
      [confirmed, 7000],
      [udp, 10],
      [confirmed, 0],
    ],
    newcomer: 'ack',
    takes: 2,
    evicts: true,
  },
  {
    what: 'takes a stamp ahead of its clock for new',
    entries: [
      [confirmed, 50],
      [confirmed, -3],
      [confirmed, 70],
      [confirmed, 20],
    ],
    newcomer: 'ack',
    takes: 2,
    evicts: true,
  },
]
