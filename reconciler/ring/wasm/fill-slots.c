/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The slots of a Maglev ring (reconciler/ring/maglev.ts says what they are), as
 * WebAssembly with 128-bit SIMD. Pure: it imports nothing, and its memory is
 * what the caller writes before a call and reads after it.
 *
 * A ring is some 65,536 * ln 65,536 = 700,000 probes, half of them for the last
 * 256 slots. They cost less than the branches that they mispredict: hence whose
 * turn it is is worked out before; each turn's next candidates are listed some
 * at a time, those that are free, without a branch; and for the last slots the
 * free ones are searched for the one that comes first, instead of the
 * candidates for a free one.
 */
#include <stdint.h>
#include <wasm_simd128.h>

#define SLOTS 65536 /* those that are probed; the one beyond them is the first turn's */
#define MAX_TURNS 65535
#define RINGS 2
#define MAX_PAIRS 131072
/* So many free slots and fewer are searched: from 256 to 512 cost the same. */
#define SEARCHED 512
/*
 * A list has a turn's part of this part of the free slots: of a larger one more
 * would be taken by others before they are looked at.
 */
#define LISTED 16
#define LANES 8
#define CHUNK (2 * LANES)
#define always_inline inline __attribute__((always_inline))

#define EXPORT(name) __attribute__((export_name(#name))) name

/* Little-endian, 12 bytes: TURN_BYTES of reconciler/ring/fill-slots.ts. */
struct turn {
	uint32_t quota; /* of 65,537 slots in all */
	uint16_t place; /* n * first of the last candidate that was listed */
	uint16_t first; /* odd, as is the second */
	uint16_t second;
	uint16_t owner; /* what its slots hold */
};
_Static_assert(sizeof(struct turn) == 12, "reconciler/ring/fill-slots.ts writes it");

/* Candidates of a turn that were free when they were listed, in its order. */
struct list {
	const uint16_t *next;
	const uint16_t *end;
	uint16_t *begin;
	uint16_t start; /* the turn's place before any was listed */
	uint16_t owner;
};

static struct turn turns[MAX_TURNS];
static struct list lists[MAX_TURNS];
static uint16_t listed[SLOTS / LISTED + 1 + MAX_TURNS * CHUNK];
/* By turn, for four lanes: the quota, and how many slots are due, each as many times as there are rounds. */
static uint32_t quotas[MAX_TURNS + 3] __attribute__((aligned(16)));
static uint32_t dues[MAX_TURNS + 3] __attribute__((aligned(16)));
/* Whose turn it is, slot by slot: an index into turns. Two more are written than are read. */
static uint16_t sequence[SLOTS + 2];
static uint16_t rings[RINGS][SLOTS + LANES];
static uint8_t is_free[SLOTS];
static uint16_t free_slots[SEARCHED + LANES];
static uint32_t pairs[MAX_PAIRS];

struct turn *EXPORT(turns_address)(void)
{
	return turns;
}

uint16_t *EXPORT(ring_address)(uint32_t ring)
{
	return rings[ring];
}

uint32_t *EXPORT(pairs_address)(void)
{
	return pairs;
}

static inline v128_t slots_of(v128_t places, v128_t second)
{
	return wasm_i16x8_mul(wasm_v128_xor(places, wasm_u16x8_shr(places, 7)), second);
}

static inline uint32_t slot_of(uint32_t place, uint32_t second)
{
	return ((place ^ place >> 7) * second) & 0xffff;
}

/* Every turn is due quota / rounds slots in each round: none, one or two as a rule. */
static void order_turns(uint32_t count)
{
	uint32_t rounds = (SLOTS + count) / count;
	v128_t one = wasm_i32x4_splat(rounds);
	v128_t two = wasm_i32x4_splat(2 * rounds);
	v128_t three = wasm_i32x4_splat(3 * rounds);
	uint32_t at = 0;

	for (uint32_t i = 0; i < count + 3; i++) {
		quotas[i] = i < count ? turns[i].quota : 0;
		dues[i] = 0;
	}
	quotas[0]--;
	while (at < SLOTS) {
		for (uint32_t i = 0; i < count; i += 4) {
			v128_t due = wasm_i32x4_add(wasm_v128_load(dues + i),
						    wasm_v128_load(quotas + i));
			v128_t has_one = wasm_u32x4_ge(due, one);
			v128_t has_two = wasm_u32x4_ge(due, two);
			v128_t minus_taken = wasm_i32x4_add(has_one, has_two);

			if (wasm_v128_any_true(wasm_u32x4_ge(due, three))) {
				wasm_v128_store(dues + i, due);
				for (uint32_t turn = i; turn < i + 4; turn++)
					for (; dues[turn] >= rounds; dues[turn] -= rounds)
						sequence[at++] = turn;
				continue;
			}
			due = wasm_i32x4_sub(due, wasm_v128_and(has_one, one));
			due = wasm_i32x4_sub(due, wasm_v128_and(has_two, one));
			wasm_v128_store(dues + i, due);
#define PUT(lane)                                                                                  \
	sequence[at] = sequence[at + 1] = i + (lane);                                              \
	at -= wasm_i32x4_extract_lane(minus_taken, lane)
			PUT(0);
			PUT(1);
			PUT(2);
			PUT(3);
#undef PUT
		}
	}
}

/* A list has room for what one filling may overshoot by. */
static void empty_lists(uint32_t count)
{
	uint16_t *begin = listed;

	for (uint32_t i = 0; i < count; i++) {
		lists[i] = (struct list){ begin, begin, begin, turns[i].place, turns[i].owner };
		begin += turns[i].quota / LISTED + CHUNK;
	}
}

/* At least one: of the slots that are left, the turn has all before it. */
static void fill_list(struct list *list, struct turn *turn, uint32_t left)
{
	v128_t first = wasm_i16x8_splat(turn->first);
	v128_t second = wasm_i16x8_splat(turn->second);
	v128_t steps = wasm_i16x8_mul(first, wasm_i16x8_const(1, 2, 3, 4, 5, 6, 7, 8));
	v128_t places = wasm_i16x8_add(wasm_i16x8_splat(turn->place), steps);
	v128_t stride = wasm_i16x8_mul(first, wasm_i16x8_splat(LANES));
	uint16_t *enough =
		list->begin + 1 + (uint64_t)turn->quota * left / ((uint64_t)LISTED * SLOTS);
	uint16_t *to = list->begin;
	uint16_t candidates[CHUNK];

	do {
		for (uint32_t i = 0; i < CHUNK; i += LANES) {
			wasm_v128_store(candidates + i, slots_of(places, second));
			places = wasm_i16x8_add(places, stride);
		}
		for (uint32_t i = 0; i < CHUNK; i++) {
			*to = candidates[i];
			to += is_free[candidates[i]];
		}
	} while (to < enough);
	turn->place = wasm_u16x8_extract_lane(places, 0) - turn->first;
	list->next = list->begin;
	list->end = to;
}

static always_inline void take_listed(uint16_t *slots, uint32_t turn, uint32_t left)
{
	struct list *list = lists + turn;
	uint32_t slot;

	do {
		if (list->next == list->end)
			fill_list(list, turns + turn, left);
		slot = *list->next++;
	} while (!is_free[slot]);
	slots[slot] = list->owner;
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
 * The place of the first free slot that a turn prefers, by asking each of the
 * free ones how many steps from the start it is: the inverse of slots_of.
 */
static inline uint32_t search(const struct turn *turn, uint32_t start, uint32_t count)
{
	v128_t unsecond = wasm_i16x8_splat(inverse(turn->second));
	v128_t unfirst = wasm_i16x8_splat(inverse(turn->first));
	v128_t next = wasm_i16x8_splat(start + turn->first);
	v128_t nearest = wasm_i16x8_splat(-1);

	for (uint32_t i = count; i % LANES; i++)
		free_slots[i] = free_slots[0];
	for (uint32_t i = 0; i < count; i += LANES) {
		v128_t x = wasm_i16x8_mul(wasm_v128_load(free_slots + i), unsecond);

		x = wasm_v128_xor(x, wasm_v128_xor(wasm_u16x8_shr(x, 7), wasm_u16x8_shr(x, 14)));
		nearest = wasm_u16x8_min(nearest, wasm_i16x8_mul(wasm_i16x8_sub(x, next), unfirst));
	}
	nearest = least(nearest);
	return (start + (wasm_u16x8_extract_lane(nearest, 0) + 1) * turn->first) & 0xffff;
}

/* What a free slot holds is its index in free_slots, while they are searched. */
static void list_free_slots(uint16_t *slots)
{
	uint32_t count = 0;

	for (uint32_t slot = 0; slot < SLOTS; slot++) {
		if (!is_free[slot])
			continue;
		slots[slot] = count;
		free_slots[count++] = slot;
	}
}

static always_inline void take_searched(uint16_t *slots, uint32_t index, uint32_t left)
{
	const struct turn *turn = turns + index;
	uint32_t slot = slot_of(search(turn, lists[index].start, left), turn->second);
	uint32_t last = free_slots[left - 1];

	/* The last of the list takes the place of the one that goes. */
	free_slots[slots[slot]] = last;
	slots[last] = slots[slot];
	slots[slot] = turn->owner;
}

/* Fills the slots of `count` turns, at least one, whose quotas are 65,537 in sum, into one of the rings. */
void EXPORT(fill_slots)(uint32_t ring, uint32_t count)
{
	uint16_t *slots = rings[ring];
	const uint16_t *next = sequence;
	uint32_t left = SLOTS;

	for (uint32_t slot = 0; slot < SLOTS; slot += 16)
		wasm_v128_store(is_free + slot, wasm_i8x16_splat(1));
	slots[SLOTS] = turns[0].owner;
	order_turns(count);
	empty_lists(count);
	for (; left > SEARCHED; left--)
		take_listed(slots, *next++, left);
	list_free_slots(slots);
	for (; left; left--)
		take_searched(slots, *next++, left);
}

/*
 * Counts into pairs, row by row, how many slots have each pair of owners in the
 * two rings: a row for every owner in the first ring from `first_row` on, a column for
 * every one in the second, below `columns`. rows * columns is MAX_PAIRS at most.
 */
void EXPORT(count_pairs)(uint32_t first_row, uint32_t rows, uint32_t columns)
{
	for (uint32_t i = 0; i < rows * columns; i++)
		pairs[i] = 0;
	for (uint32_t slot = 0; slot <= SLOTS; slot++) {
		uint32_t row = rings[0][slot] - first_row;

		if (row < rows)
			pairs[row * columns + rings[1][slot]]++;
	}
}
