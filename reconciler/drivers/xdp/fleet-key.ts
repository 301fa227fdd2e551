import { readFileSync } from 'node:fs'
import { BallastError } from '../../../schemas/ballast-error.ts'
import type { XdpSettingsRow } from '../../../schemas/node-state.ts'
import { FLEET_KEY_BYTES, fleetKeyFingerprint, fleetKeyFromName } from '../../ring/flow-hash.ts'

/**
 * The key of the ring's hash: from the file, else from the fleet's name. Throws `FLEET_KEY_MISMATCH` when it
 * is not the one whose fingerprint the settings have: this node would choose other backends than the rest
 * (rule 4).
 */
export function readFleetKey({ fleet, fleetKey }: XdpSettingsRow, file: string | undefined): Uint8Array {
  const key = file === undefined ? fleetKeyFromName(fleet) : readKeyFile(file)
  const fingerprint = fleetKeyFingerprint(key)
  if (fingerprint === fleetKey) return key
  throw new BallastError({
    code: 'FLEET_KEY_MISMATCH',
    message: `the fleet key of this node has the fingerprint ${fingerprint}, and the fleet's is ${fleetKey}`,
    hint:
      file === undefined
        ? 'The fleet has a secret key: put it on this node and name its file (fleetKeyFile).'
        : `Put the fleet's key into ${file}, or its fingerprint into the Fleet manifest.`,
  })
}

function readKeyFile(file: string): Uint8Array {
  let bytes: Buffer
  try {
    bytes = readFileSync(file)
  } catch (cause) {
    throw new BallastError({
      code: 'FLEET_KEY_UNREADABLE',
      message: `the fleet key file ${file} cannot be read`,
      hint: 'Make it readable for the worker, or take fleetKeyFile out of its configuration.',
      cause,
    })
  }
  const hex = bytes.toString('latin1').trim()
  if (/^[0-9a-f]{32}$/i.test(hex)) return Uint8Array.from(Buffer.from(hex, 'hex'))
  if (bytes.length === FLEET_KEY_BYTES) return Uint8Array.from(bytes)
  throw new BallastError({
    code: 'FLEET_KEY_UNREADABLE',
    message: `${file} holds no fleet key: that is ${FLEET_KEY_BYTES} bytes, or as many in hex digits`,
    hint: `Make one: head -c ${FLEET_KEY_BYTES} /dev/urandom > ${file}`,
  })
}
