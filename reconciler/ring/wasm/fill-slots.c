/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The slots of a Maglev ring (reconciler/ring/maglev.ts says what they are), as
 * WebAssembly with 128-bit SIMD. Pure: it imports nothing, and its memory is
 * what the caller writes before a call and reads after it.
 *
 * A ring is some 65,536 * ln 65,536 = 700,000 probes, half of them for the last
 * 256 slots. They cost less than the branches that they mispredict: hence whose
 * turn it is is worked out before, four or eight candidates are tried at a time
 * without a branch, and for the last slots the free ones are searched for the
 * one that comes first, instead of the candidates for a free one.
 */
#include <stdint.h>
#include <wasm_simd128.h>

#define SLOTS 65536 /* those that are probed; the one beyond them is the first turn's */
#define MAX_TURNS 65535
#define SLOT_NONE 0xffff
/* So many free slots and fewer are searched: from 256 to 1,024 cost the same. */
#define SEARCHED 512
#define LANES 8
#define always_inline inline __attribute__((always_inline))

#define EXPORT(name) __attribute__((export_name(#name))) name

/* Little-endian, 16 bytes: TURN_BYTES of reconciler/ring/fill-slots.ts. */
struct turn {
	uint32_t quota; /* of 65,537 slots in all */
	uint32_t due;	/* 0 at first; as many for each slot as there are rounds */
	uint16_t place; /* n * first of the last probe */
	uint16_t first; /* odd, as is the second */
	uint16_t second;
	uint16_t owner; /* what its slots hold */
};
_Static_assert(sizeof(struct turn) == 16, "reconciler/ring/fill-slots.ts writes it");

static struct turn turns[MAX_TURNS];
/* Whose turn it is, slot by slot: an index into turns. Two more are written than are read. */
static uint16_t sequence[SLOTS + 2];
static uint16_t slots[SLOTS + LANES];
static uint8_t is_free[SLOTS];
static uint16_t free_slots[SEARCHED + LANES];

struct turn *EXPORT(turns_address)(void)
{
	return turns;
}

uint16_t *EXPORT(slots_address)(void)
{
	return slots;
}

static inline v128_t slots_of(v128_t places, v128_t second)
{
	return wasm_i16x8_mul(wasm_v128_xor(places, wasm_u16x8_shr(places, 7)), second);
}

static inline uint32_t slot_of(uint32_t place, uint32_t second)
{
	return ((place ^ place >> 7) * second) & 0xffff;
}

/* Bit n: whether the slot in lane n is free, of the first `lanes`: 4 or 8. */
static always_inline uint32_t which_are_free(v128_t candidates, uint32_t lanes)
{
#define FREE(lane) ((uint32_t)is_free[wasm_u16x8_extract_lane(candidates, lane)] << lane)
	uint32_t mask = (FREE(0) | FREE(1)) | (FREE(2) | FREE(3));

	return lanes == 4 ? mask : mask | ((FREE(4) | FREE(5)) | (FREE(6) | FREE(7)));
#undef FREE
}

/* The place of the first free slot that a turn prefers, of so many candidates at a time. */
static always_inline uint32_t probe(const struct turn *turn, uint32_t lanes)
{
	v128_t first = wasm_i16x8_splat(turn->first);
	v128_t second = wasm_i16x8_splat(turn->second);
	v128_t steps = wasm_i16x8_mul(first, wasm_i16x8_const(1, 2, 3, 4, 5, 6, 7, 8));
	v128_t places = wasm_i16x8_add(wasm_i16x8_splat(turn->place), steps);
	v128_t stride = wasm_i16x8_mul(first, wasm_i16x8_splat(lanes));
	uint32_t place = turn->place;

	for (;;) {
		uint32_t mask = which_are_free(slots_of(places, second), lanes);

		if (mask)
			return (place + (__builtin_ctz(mask) + 1) * turn->first) & 0xffff;
		places = wasm_i16x8_add(places, stride);
		place += lanes * turn->first;
	}
}

static always_inline void take_probed(struct turn *turn, uint32_t lanes)
{
	uint32_t place = probe(turn, lanes);
	uint32_t slot = slot_of(place, turn->second);

	turn->place = place;
	slots[slot] = turn->owner;
	is_free[slot] = 0;
}

/* Of an odd number, modulo 2^16: every step doubles the bits that are right, of which x = n has three. */
static inline uint32_t inverse(uint32_t n)
{
	uint32_t x = n;

	for (int bits = 3; bits < 16; bits *= 2)
		x *= 2 - n * x;
	return x;
}

static inline v128_t least(v128_t values)
{
	v128_t other = wasm_i16x8_shuffle(values, values, 4, 5, 6, 7, 0, 1, 2, 3);

	values = wasm_u16x8_min(values, other);
	other = wasm_i16x8_shuffle(values, values, 2, 3, 0, 1, 6, 7, 4, 5);
	values = wasm_u16x8_min(values, other);
	other = wasm_i16x8_shuffle(values, values, 1, 0, 3, 2, 5, 4, 7, 6);
	return wasm_u16x8_min(values, other);
}

/*
 * As probe, by asking each of the free slots how many steps away it is: the
 * inverse of slots_of.
 */
static inline uint32_t search(const struct turn *turn, uint32_t count)
{
	v128_t unsecond = wasm_i16x8_splat(inverse(turn->second));
	v128_t unfirst = wasm_i16x8_splat(inverse(turn->first));
	v128_t next = wasm_i16x8_splat(turn->place + turn->first);
	v128_t nearest = wasm_i16x8_splat(-1);

	for (uint32_t i = count; i % LANES; i++)
		free_slots[i] = free_slots[0];
	for (uint32_t i = 0; i < count; i += LANES) {
		v128_t x = wasm_i16x8_mul(wasm_v128_load(free_slots + i), unsecond);

		x = wasm_v128_xor(x, wasm_v128_xor(wasm_u16x8_shr(x, 7), wasm_u16x8_shr(x, 14)));
		nearest = wasm_u16x8_min(nearest, wasm_i16x8_mul(wasm_i16x8_sub(x, next), unfirst));
	}
	nearest = least(nearest);
	return (turn->place + (wasm_u16x8_extract_lane(nearest, 0) + 1) * turn->first) & 0xffff;
}

/* What a free slot holds is its index in free_slots, while they are searched. */
static void list_free_slots(void)
{
	uint32_t count = 0;

	for (uint32_t slot = 0; slot < SLOTS; slot++) {
		if (!is_free[slot])
			continue;
		slots[slot] = count;
		free_slots[count++] = slot;
	}
}

static always_inline void take_searched(struct turn *turn, uint32_t left)
{
	uint32_t place = search(turn, left);
	uint32_t slot = slot_of(place, turn->second);
	uint32_t last = free_slots[left - 1];

	/* The last of the list takes the place of the one that goes. */
	free_slots[slots[slot]] = last;
	slots[last] = slots[slot];
	turn->place = place;
	slots[slot] = turn->owner;
}

/* Every turn is due quota / rounds slots in each round: none, one or two as a rule. */
static void order_turns(uint32_t count)
{
	uint32_t rounds = (SLOTS + count) / count;
	uint32_t at = 0;

	while (at < SLOTS) {
		for (uint32_t i = 0; i < count; i++) {
			uint32_t due = turns[i].due + turns[i].quota;
			uint32_t taken = (due >= rounds) + (due >= 2 * rounds);

			sequence[at] = sequence[at + 1] = i;
			at += taken;
			for (due -= taken * rounds; due >= rounds; due -= rounds)
				sequence[at++] = i;
			turns[i].due = due;
		}
	}
}

/* Fills the slots of `count` turns, at least one, whose quotas are 65,537 in sum. */
void EXPORT(fill_slots)(uint32_t count)
{
	const uint16_t *next = sequence;
	uint32_t left = SLOTS;

	for (uint32_t slot = 0; slot < SLOTS; slot += 16)
		wasm_v128_store(is_free + slot, wasm_i8x16_splat(1));
	slots[SLOTS] = turns[0].owner;
	turns[0].quota--;
	order_turns(count);
	for (; left > SLOTS / 2; left--)
		take_probed(turns + *next++, 4);
	for (; left > SEARCHED; left--)
		take_probed(turns + *next++, 8);
	list_free_slots();
	for (; left; left--)
		take_searched(turns + *next++, left);
}
