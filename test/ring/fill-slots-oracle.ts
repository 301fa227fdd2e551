import type { Turn } from '../../reconciler/ring/fill-slots.ts'
import { SLOT_NONE } from '../../reconciler/ring/maglev.ts'
import { RING_SLOTS } from '../../schemas/ring-limits.ts'

/** What `fillSlots` gives, turn by turn and probe by probe. */
export function fillSlotsOneByOne(turns: readonly Turn[]): Uint16Array {
  const slots = new Uint16Array(RING_SLOTS).fill(SLOT_NONE)
  const rounds = Math.ceil(RING_SLOTS / turns.length)
  const states = turns.map(({ quota, start, a }, index) => ({
    quota: index === 0 ? quota - 1 : quota,
    due: 0,
    place: Math.imul(start, a),
  }))
  slots[RING_SLOTS - 1] = turns[0]!.owner
  for (let round = 0; round < rounds; round++)
    for (const [index, state] of states.entries()) {
      const { owner, a, b } = turns[index]!
      for (state.due += state.quota; state.due >= rounds; state.due -= rounds) {
        let slot: number
        do {
          state.place = (state.place + a) & 0xffff
          slot = Math.imul(state.place ^ (state.place >> 7), b) & 0xffff
        } while (slots[slot] !== SLOT_NONE)
        slots[slot] = owner
      }
    }
  return slots
}
