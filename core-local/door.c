// Doors of one domain: see door.h.
#include "core-local/door.h"

#define SERIAL_SHIFT 9
_Static_assert(DOOR_HANDLE(ENDPOINT_DOORS) == 1u << SERIAL_SHIFT, "a handle: serial, place, nothing");

static uint64_t handle_of(const struct door *door, unsigned place)
{
	return (uint64_t)door->serial << SERIAL_SHIFT | DOOR_HANDLE(place);
}

// A free place keeps its last serial in limit_us, so that it is not used again. No handle of a place ends in the bits of
// another, so the complement of the place matches nothing.
static void match_set(struct door *door, unsigned place)
{
	bool fast = door->serial && door->server && !door->limit_us;
	door->match = fast ? handle_of(door, place) : DOOR_HANDLE(~place & (ENDPOINT_DOORS - 1));
}

void doors_clear(struct door doors[ENDPOINT_DOORS])
{
	for (unsigned i = 0; i < ENDPOINT_DOORS; i++)
		door_close(&doors[i], i);
}

uint64_t door_open(struct door doors[ENDPOINT_DOORS], struct domain *server, uint64_t badge)
{
	for (unsigned i = 0; i < ENDPOINT_DOORS; i++) {
		struct door *door = &doors[i];
		if (door->serial)
			continue;
		uint32_t next = door->limit_us + 1;
		*door = (struct door){.server = server, .badge = badge, .serial = next ? next : 1};
		match_set(door, i);
		return handle_of(door, i);
	}
	return 0;
}

struct door *door_find(struct door doors[ENDPOINT_DOORS], uint64_t handle)
{
	unsigned place = DOOR_PLACE(handle);
	struct door *door = &doors[place];
	return door->serial && handle_of(door, place) == handle ? door : 0;
}

void door_close(struct door *door, unsigned place)
{
	*door = (struct door){.limit_us = door->serial ? door->serial : door->limit_us};
	match_set(door, place);
}

void door_limit(struct door *door, unsigned place, uint32_t us)
{
	door->limit_us = us;
	match_set(door, place);
}

void door_lose(struct door doors[ENDPOINT_DOORS], const struct domain *server)
{
	for (unsigned i = 0; i < ENDPOINT_DOORS; i++) {
		if (doors[i].server != server)
			continue;
		doors[i].server = 0;
		match_set(&doors[i], i);
	}
}

bool door_check(const struct door *door, unsigned place)
{
	struct door copy = *door;
	match_set(&copy, place);
	return copy.match == door->match && (door->serial || !door->server);
}
