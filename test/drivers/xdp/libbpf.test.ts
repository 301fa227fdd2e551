import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, suite, test } from 'node:test'
import { bpfFault, errnoName } from '../../../reconciler/drivers/xdp/libbpf/errno.ts'
import { findMissingFeature } from '../../../reconciler/drivers/xdp/libbpf/features.ts'
import { isFrozen, openMapById, readMapInfo } from '../../../reconciler/drivers/xdp/libbpf/info.ts'
import {
  createMap,
  deleteEntries,
  deleteEntry,
  freezeMap,
  lookupEntry,
  MapType,
  readEntries,
  updateEntries,
  updateEntry,
} from '../../../reconciler/drivers/xdp/libbpf/maps.ts'
import { openObject } from '../../../reconciler/drivers/xdp/libbpf/object.ts'
import {
  isBpfFileSystem,
  listPins,
  mountBpfFileSystem,
  nameOfPin,
  openPin,
  pinName,
  pinObject,
  repinObject,
  unmountFileSystem,
} from '../../../reconciler/drivers/xdp/libbpf/pins.ts'
import { runCommand } from '../../../reconciler/process/run-command.ts'
import { BallastError } from '../../../schemas/ballast-error.ts'
import { needsRoot } from './lab.ts'

const REFUSED = `
typedef unsigned int u32;
struct context { u32 data; u32 data_end; };
__attribute__((section("xdp"), used)) int refused(struct context *ctx)
{
	return *(char *)(long)ctx->data;
}
char LICENSE[] __attribute__((section("license"), used)) = "GPL";
`

const hashMap = (maxEntries: number) =>
  createMap({ type: MapType.hash, name: 'test_hash', keySize: 4, valueSize: 8, maxEntries, flags: 0 })

const entries = (count: number) => {
  const [keys, values] = [Buffer.alloc(4 * count), Buffer.alloc(8 * count)]
  for (let i = 0; i < count; i++) {
    keys.writeUInt32LE(i, 4 * i)
    values.writeUInt32LE(7 * i, 8 * i)
  }
  return { count, keys, values }
}

suite('the binding of libbpf', { skip: needsRoot }, () => {
  let directory = ''
  before(() => {
    directory = mkdtempSync(join(tmpdir(), 'ballast-libbpf-'))
    mountBpfFileSystem(join(directory, 'bpf'))
  })
  after(() => {
    unmountFileSystem(join(directory, 'bpf'))
    rmSync(directory, { recursive: true })
  })
  const pin = (...path: string[]) => join(directory, 'bpf', ...path)

  test('a refused program throws with what the verifier says', async () => {
    writeFileSync(join(directory, 'refused.c'), REFUSED)
    const object = join(directory, 'refused.o')
    const clang = (await runCommand('sh', ['-c', 'command -v clang-19 clang | head -1'])).stdout.trim()
    await runCommand(clang, ['-O2', '-g', '-target', 'bpf', '-c', join(directory, 'refused.c'), '-o', object])
    using opened = openObject(object, 'refused')
    await assert.rejects(opened.load(), (error: unknown) => {
      assert.ok(error instanceof BallastError)
      assert.equal(error.code, 'BPF_EACCES')
      assert.match(error.message, /R1 offset is outside of the packet/)
      return true
    })
  })

  test('a file that is no object, and one that is not there, say so', () => {
    const file = join(directory, 'text.o')
    writeFileSync(file, 'no ELF')
    assert.throws(() => openObject(file, 'text'), {
      code: /^BPF_/,
      message: /not a proper ELF object/,
    })
    assert.throws(() => openObject(join(directory, 'none.o'), 'none'), { code: 'BPF_OBJECT_MISSING' })
  })

  test('entries are written, read and deleted one by one and in batches', async () => {
    using map = hashMap(5000)
    const info = readMapInfo(map.fd)
    assert.deepEqual(
      [info.type, info.name, info.keySize, info.valueSize, info.maxEntries],
      [MapType.hash, 'test_hash', 4, 8, 5000],
    )
    const all = entries(5000)
    await updateEntries(map.fd, info, all)
    const back = await readEntries(map.fd, info)
    assert.equal(back.count, 5000)
    for (let i = 0; i < back.count; i++) {
      assert.equal(back.values.readUInt32LE(8 * i), 7 * back.keys.readUInt32LE(4 * i))
    }
    const value = Buffer.alloc(8)
    assert.ok(lookupEntry(map.fd, all.keys.subarray(4, 8), value))
    assert.equal(value.readUInt32LE(), 7)
    assert.equal(deleteEntry(map.fd, all.keys.subarray(4, 8)), true)
    assert.equal(deleteEntry(map.fd, all.keys.subarray(4, 8)), false)
    assert.equal(lookupEntry(map.fd, all.keys.subarray(4, 8), value), false)
    // One of them is gone already.
    const keys = Array.from({ length: 10 }, (_, i) => all.keys.subarray(4 * i, 4 * i + 4))
    await deleteEntries(map.fd, info, keys)
    assert.equal((await readEntries(map.fd, info)).count, 4990)
    await assert.rejects(updateEntries(map.fd, info, entries(6000)), { code: 'BPF_E2BIG' })
  })

  test('a map has one id however it is opened, and a frozen one cannot be written', () => {
    using map = hashMap(4)
    const { id } = readMapInfo(map.fd)
    using again = openMapById(id)
    assert.equal(readMapInfo(again!.fd).id, id)
    assert.equal(isFrozen(again!.fd), false)
    freezeMap(map.fd)
    assert.equal(isFrozen(again!.fd), true)
    assert.throws(() => updateEntry(again!.fd, Buffer.alloc(4), Buffer.alloc(8)), { code: 'BPF_EPERM' })
    assert.equal(openMapById(2 ** 31 - 1), undefined)
  })

  test('pins are replaced in one step, and names with dots get through', () => {
    assert.ok(isBpfFileSystem(pin()) && !isBpfFileSystem(directory))
    const name = pinName('eth0.100')
    assert.equal(nameOfPin(name), 'eth0.100')
    using first = hashMap(1)
    using second = hashMap(2)
    pinObject(first.fd, pin('maps', name))
    assert.throws(() => pinObject(second.fd, pin('maps', name)), { code: 'BPF_EEXIST' })
    repinObject(second.fd, pin('maps', name))
    assert.deepEqual(listPins(pin('maps')), [name])
    using opened = openPin(pin('maps', name))
    assert.equal(readMapInfo(opened!.fd).maxEntries, 2)
    assert.equal(openPin(pin('maps', 'none')), undefined)
    assert.deepEqual(listPins(pin('nowhere')), [])
  })

  test('a kernel that is too old is refused in words', () => {
    assert.equal(findMissingFeature(), '')
    assert.equal(findMissingFeature('5.15.0-91-generic'), '')
    for (const old of ['5.14.21', '4.19.0', '5.4.0-150-generic']) {
      assert.match(findMissingFeature(old), /too old.*5\.15/)
    }
  })
})

test('an error of the kernel has its name as a code, and a hint', () => {
  assert.deepEqual([errnoName(1), errnoName(95), errnoName(524)], ['EPERM', 'EOPNOTSUPP', 'ENOTSUPP'])
  const error = bpfFault('making map rings', 1)
  assert.deepEqual([error.code, error.retryable], ['BPF_EPERM', false])
  assert.match(error.message, /^making map rings: EPERM, operation not permitted$/)
  assert.match(error.hint, /root/)
})
