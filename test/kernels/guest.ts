import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { cp, mkdir } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, join, resolve } from 'node:path'
import { runCommand } from '../../reconciler/process/run-command.ts'
import { bundle } from './bundle.ts'
import { runKernel } from './run-kernel.ts'
import {
  composeJob,
  type KernelSuite,
  PATH,
  type Ran,
  REPORTER,
  ROOT,
  testCommand,
  testInside,
} from './suite.ts'

/**
 * Runs commands in a kernel of Debian, booted in QEMU, on the files of this machine, which it can read and not write.
 * The processor is emulated: what works there works, how fast says little. What runs inside is root there.
 */

/** What reconciler/setup/guest-kernel.sh fetches. */
export type GuestKernel = '5.10' | '6.1' | '6.12'

export interface GuestJob {
  readonly kernel: GuestKernel
  readonly modules: readonly string[]
  /** Run at the root of the repository; what it writes to `REPORT` is the report. */
  readonly command: readonly string[]
  readonly limit: number
  /** Time goes by instructions, so many ns each, and not by the clock: what the machine does besides changes nothing. */
  readonly nsPerInstruction?: 1 | 2 | 4 | 8
  /** With so many CPUs, and a card `eth0` that has a queue for each and one more for each, for a program to send on. */
  readonly cardFor?: number
}

/** Takes lines, which come out unchanged. */
export const REPORT = '/dev/ttyS1'

const QEMU = '/usr/bin/qemu-system-x86_64'
const MEMORY = '1024M'
/** Before the files of this machine can be read. */
const FIRST_MODULES = ['virtio_pci', '9pnet_virtio', '9p', 'overlay']

const placeOf = (kernel: GuestKernel): string => resolve(ROOT, 'node_modules/.cache/guest', kernel)

/** What is missing to boot it; '' when nothing is. */
export function findMissing(kernel: GuestKernel): string {
  const missing = [QEMU, '/usr/sbin/modprobe', '/usr/bin/cpio'].filter(path => !existsSync(path))
  if (missing.length > 0) return `not installed: ${missing.join(', ')}`
  return existsSync(placeOf(kernel))
    ? ''
    : `there is no Linux ${kernel}: sh reconciler/setup/guest-kernel.sh ${kernel}`
}

export const testInGuest = (title: string, kernel: GuestKernel, { files, ...suite }: KernelSuite): void =>
  testInside(title, findMissing(kernel) || false, async () => {
    await using bundles = await bundle([REPORTER, ...files])
    return await runInGuest({ ...suite, kernel, command: testCommand(bundles.files, REPORT) })
  })

export async function runInGuest(guest: GuestJob): Promise<Ran> {
  const { kernel, limit, nsPerInstruction, cardFor, ...job } = guest
  const place = placeOf(kernel)
  const [release = ''] = readdirSync(join(place, 'lib/modules'))
  const directory = mkdtempSync(join(tmpdir(), 'ballast-guest-'))
  const report = join(directory, 'report')
  try {
    const initrd = await packInitrd(directory, { place, release, job })
    const [file, first] = cardFor === undefined ? [QEMU, []] : IN_OWN_NETWORK
    const console = await runKernel(
      file,
      [
        ...first,
        // KVM opens on some machines where it does not work.
        ...['-accel', 'tcg', '-cpu', 'max', '-m', MEMORY, '-smp', String(cardFor ?? 1)],
        ...(cardFor === undefined ? [] : composeCard(2 * cardFor)),
        ...(nsPerInstruction ? ['-icount', `shift=${Math.log2(nsPerInstruction)},sleep=off`] : []),
        ...['-nodefaults', '-no-user-config', '-display', 'none', '-no-reboot'],
        ...['-kernel', join(place, `boot/vmlinuz-${release}`), '-initrd', initrd],
        ...['-append', 'console=ttyS0 quiet panic=-1 mitigations=off'],
        ...['-serial', 'stdio', '-serial', `file:${report}`],
        ...['-fsdev', 'local,id=root,path=/,security_model=none,readonly=on,multidevs=remap'],
        ...['-device', 'virtio-9p-pci,fsdev=root,mount_tag=host'],
      ],
      limit,
    )
    return { console, report: existsSync(report) ? readFileSync(report, 'utf8') : '' }
  } finally {
    rmSync(directory, { recursive: true })
  }
}

/** The other end of the card is a tap device, which goes with the network. */
const IN_OWN_NETWORK = ['/usr/bin/unshare', ['--net', QEMU]] as const

/** Two interrupts for every queue pair, one for the rest, one for changes of its configuration. */
const composeCard = (queues: number): string[] => [
  ...['-netdev', `tap,id=wire,ifname=wire,queues=${queues},script=no,downscript=no`],
  ...['-device', `virtio-net-pci,netdev=wire,mq=on,vectors=${2 * queues + 2}`],
]

interface Initrd {
  readonly place: string
  readonly release: string
  readonly job: Pick<GuestJob, 'modules' | 'command'>
}

/** The first file system: what it takes to mount that of the machine, and then the job. */
async function packInitrd(directory: string, { place, release, job }: Initrd): Promise<string> {
  const root = join(directory, 'initrd')
  for (const name of ['bin', 'modules', 'proc', 'sys', 'dev', 'host'])
    await mkdir(join(root, name), { recursive: true })
  await cp(join(place, 'bin/busybox'), join(root, 'bin/busybox'))
  const modules = await modulesInOrder(place, release)
  for (const path of modules) await cp(path, join(root, 'modules', basename(path)))
  writeFileSync(join(root, 'init'), composeInit(modules.map(path => basename(path))), { mode: 0o755 })
  writeFileSync(join(root, 'job'), `${[...MOUNTS, ...composeJob(job, place)].join('\n')}\n`)
  const names = (await runCommand('find', ['.'], { cwd: root })).stdout
  const archive = join(directory, 'initrd.img')
  await runCommand('cpio', ['-o', '-H', 'newc', '--quiet', '-F', archive], { cwd: root, input: names })
  return archive
}

async function modulesInOrder(place: string, release: string): Promise<string[]> {
  const lines: string[] = []
  for (const name of FIRST_MODULES) {
    const { stdout } = await runCommand('modprobe', ['-d', place, '-S', release, '--show-depends', name])
    lines.push(...stdout.split('\n'))
  }
  return [...new Set(lines.flatMap(line => /^insmod (\S+)/.exec(line)?.[1] ?? []))]
}

const composeInit = (modules: readonly string[]): string =>
  [
    '#!/bin/busybox sh',
    'alias mount="/bin/busybox mount"',
    'mount -t devtmpfs dev /dev',
    ...modules.map(name => `/bin/busybox insmod /modules/${name}`),
    'mount -t 9p -o trans=virtio,version=9p2000.L,msize=512000,cache=loose,ro host /host',
    'mount -t tmpfs run /host/run',
    '/bin/busybox cp /job /host/run/job',
    'mount --move /dev /host/dev',
    'exec /bin/busybox switch_root /host /bin/sh /run/job',
    '',
  ].join('\n')

const MOUNTS = [
  PATH,
  'mount -t proc proc /proc',
  'mount -t sysfs sys /sys',
  'mount -t tmpfs tmp /tmp',
  // The terminal would make two characters of the end of a line.
  `stty -F ${REPORT} raw`,
]
