import { GUARDS, OVERRIDE_PREFIX, parseOverride } from '../../../schemas/manifest/guards.ts'
import { durationMs } from '../../../schemas/manifest/rollout.ts'
import type { Service } from '../../../schemas/manifest/service.ts'
import { findCronProblem } from '../cron.ts'
import { selectNodes } from '../select-nodes.ts'
import type { Rule } from './rule.ts'

const freezeSchedule: Rule = {
  id: 'freeze-schedule',
  severity: 'error',
  *check({ fleets }) {
    for (const { spec, locate } of fleets) {
      for (const [index, window] of (spec.freeze ?? []).entries()) {
        const problem = findCronProblem(window)
        if (problem !== null)
          yield {
            at: locate(['spec', 'freeze', index, 'schedule']),
            message: `This is no time that ever comes: ${problem}.`,
            hint: 'Write minute, hour, day of the month, month and day of the week, and an IANA time zone: `0 18 * * FRI` in `Europe/Berlin`.',
          }
        if (durationMs(window.duration) === 0)
          yield {
            at: locate(['spec', 'freeze', index, 'duration']),
            message:
              'A window that lasts no time never is: one that denies does nothing, one that allows lets nothing change ever.',
            hint: 'Say how long it lasts, `62h` for instance.',
          }
      }
    }
  },
}

const freezeEmpty: Rule = {
  id: 'freeze-empty',
  severity: 'warning',
  *check({ fleets, nodes, mayExist }) {
    for (const { spec, locate } of fleets) {
      if (nodes.length === 0 || mayExist('Node', null)) continue
      for (const [index, window] of (spec.freeze ?? []).entries()) {
        if (window.nodes === undefined || selectNodes(window.nodes, nodes).length > 0) continue
        yield {
          at: locate(['spec', 'freeze', index, 'nodes']),
          message: 'No node is what `nodes` asks for: this window freezes nobody.',
          hint: 'Give nodes these labels, or take `nodes` away for a window of the fleet.',
        }
      }
    }
  },
}

const rolloutSteps: Rule = {
  id: 'rollout-steps',
  severity: 'error',
  *check({ fleets }) {
    for (const { spec, locate } of fleets) {
      const steps = spec.rollout?.steps ?? []
      for (const [index, step] of steps.entries()) {
        if (index > 0 && step <= steps[index - 1]!)
          yield {
            at: locate(['spec', 'rollout', 'steps', index]),
            message: `${step} % comes after ${steps[index - 1]} %, so this wave has no nodes.`,
            hint: 'Each step is a share of all nodes, and larger than the one before it.',
          }
      }
    }
  },
}

const canaryEmpty: Rule = {
  id: 'canary-empty',
  severity: 'warning',
  *check({ fleets, nodes, mayExist }) {
    for (const { spec, locate } of fleets) {
      const canary = spec.rollout?.canary
      if (canary === undefined || nodes.length === 0 || mayExist('Node', null)) continue
      if (selectNodes(canary, nodes).length === 0)
        yield {
          at: locate(['spec', 'rollout', 'canary']),
          message: 'No node is what `canary` asks for: the first step is the first wave.',
          hint: 'Give a node these labels, or take `canary` away.',
        }
    }
  },
}

const rolloutUnprobed: Rule = {
  id: 'rollout-unprobed',
  severity: 'warning',
  *check({ fleets, services }) {
    for (const { spec, locate } of fleets) {
      if (spec.rollout === undefined) continue
      const { probes } = spec.rollout.gates
      const isProbed = ({ vip, ports }: Service['spec']): boolean =>
        probes.some(
          ({ address, port }) =>
            vip.includes(address) && (ports.length === 0 || ports.some(each => each.port === port)),
        )
      const names = services
        .filter(service => service.spec.dataplane === 'ipvs' && !isProbed(service.spec))
        .map(({ metadata }) => metadata.name)
      if (names.length > 0)
        yield {
          at: locate(['spec', 'rollout']),
          message: `Of what IPVS forwards nothing is counted, and no probe tries ${listSome(names)}: only whether nodes apply it closes a gate.`,
          hint: 'Add its VIP and port to `gates.probes`.',
        }
    }
  },
}

const NAMES_SHOWN = 3
const listSome = (names: readonly string[]): string =>
  names.slice(0, NAMES_SHOWN).join(', ') +
  (names.length > NAMES_SHOWN ? ` and ${names.length - NAMES_SHOWN} more` : '')

const overrideValid: Rule = {
  id: 'override-valid',
  severity: 'error',
  *check({ services }) {
    for (const { metadata, locate } of services) {
      for (const [name, text] of Object.entries(metadata.annotations)) {
        if (!name.startsWith(OVERRIDE_PREFIX)) continue
        const guard = name.slice(OVERRIDE_PREFIX.length)
        const known = (GUARDS as readonly string[]).includes(guard)
        if (known && parseOverride(text) !== null) continue
        yield {
          at: locate(['metadata', 'annotations', name]),
          message: known
            ? 'This override says nothing that can be read: a size from 0 to 1 and a time until which it holds.'
            : `There is no guard ${guard}.`,
          hint: known
            ? 'Write for instance `0.8 until 2026-12-24T18:00:00Z`.'
            : `The guards are ${GUARDS.join(', ')}.`,
        }
      }
    }
  },
}

export const rolloutRules: readonly Rule[] = [
  freezeSchedule,
  freezeEmpty,
  rolloutSteps,
  canaryEmpty,
  rolloutUnprobed,
  overrideValid,
]
