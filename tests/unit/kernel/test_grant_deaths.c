// Grants between two kernels that die and come back in any order (kernel/grant.c): one holds a client's end, the other its server's, and what
// they tell one another comes late or never. A program on each side lends, takes, ends and takes back as a client and a server would.
//
// Checked after each step: nothing of the client's is mapped that is its own again (INV-71, INV-73); what a server that goes on had is mapped,
// the client's or clear pages, but for what nobody was there to confirm; a call says nothing that its contract does not name; no request is refused
// for the deaths; and at the end all places are free again.
//
// And what a kernel believes of a client's record that its former life has left.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>
#include "kernel/channel.h"
#include "kernel/grant.h"
#include "kernel/mesh.h"
#include <string.h>

#define TAG 7u
#define SLOT 0u
#define PLACES 2u // used of GRANT_PLACES
#define PAGES 2ul
#define QUEUE 64u
#define WORLDS 4000u
#define STEPS 120u
#define CLEAR_PAGES 8u // of the server's kernel

enum { CLIENT, SERVER };
enum life { DEAD, ALONE, STARTING, ONLINE }; // ALONE: has claimed its records, and met nobody

struct side {
	struct core core;
	struct domain domain;
	enum life life;
	bool goes_on;
	uint64_t queue[QUEUE][6]; // to this side
	unsigned queued;
};

static struct side sides[2];
static bool met;
static uint32_t doorbell;
static uint64_t root[1]; // of tables: there are some
static uint8_t clear_pages[CLEAR_PAGES][PAGE_SIZE] __attribute__((aligned(PAGE_SIZE)));
static bool clear_used[CLEAR_PAGES];
static paddr_t window[PLACES][PAGES]; // what the server has mapped

static struct place {
	uint32_t lent;    // the last grant
	uint32_t ring;    // a request with this grant that was not answered
	uint32_t refused; // or was, with HANDLE, and its client has not seen that
	bool asked_back;  // its client has wanted it back,
	bool recalled;    // and heard that the pages are its own
	bool has;         // the server's incarnation has taken it,
	bool clears;      // and has clear pages there,
	bool excused;     // or nothing, after a rebirth without the client's kernel
} places[PLACES];
static bool frames_short; // there is none for clear pages any more
static uint64_t seed;

static uint32_t chance(uint32_t n)
{
	seed = seed * 6364136223846793005ull + 1442695040888963407ull;
	return (uint32_t)(seed >> 33) % n;
}

static struct side *side_of(const struct core *core)
{
	return &sides[core->id];
}

static paddr_t client_memory(unsigned place)
{
	return 0x100000000ul + place * PAGES * PAGE_SIZE;
}

static bool is_client_memory(paddr_t pa)
{
	return pa >= client_memory(0) && pa < client_memory(PLACES);
}

// ---- what grant.c calls

struct channel_end *channel_end_of(struct domain *d, uint64_t slot)
{
	return slot == SLOT ? &d->ends[SLOT] : 0;
}

struct channel_end *channel_end_by_tag(struct core *core, unsigned from, uint32_t tag, unsigned role, unsigned index, unsigned *slot)
{
	assert_true(from != core->id && tag == TAG && role == core->id && index == 0);
	*slot = SLOT;
	return &side_of(core)->domain.ends[SLOT];
}

bool channel_memory_is_of(const struct core *core, unsigned peer, paddr_t base, uint64_t bytes)
{
	assert_true(core->id == SERVER && peer == CLIENT);
	return is_client_memory(base) && is_client_memory(base + bytes - 1);
}

void channel_memory_hold(struct core *core, paddr_t base, uint64_t bytes)
{
	assert_true(bytes == PAGES * PAGE_SIZE);
	assert_true(side_of(core)->life != STARTING || !is_client_memory(base)); // no record is lost here
}

bool mesh_notice(struct core *core, unsigned peer, enum mesh_notice notice, const uint64_t word[6])
{
	struct side *to = &sides[peer];
	assert_int_equal(notice, NOTICE_GRANT);
	if (to->life == DEAD)
		return true;
	if (!met || to->queued == QUEUE || side_of(core)->life == DEAD)
		return false;
	memcpy(to->queue[to->queued++], word, sizeof(to->queue[0]));
	return true;
}

static void hear_all(struct side *side)
{
	while (side->queued > 0 && met) {
		uint64_t word[6];
		memcpy(word, side->queue[0], sizeof(word));
		memmove(side->queue[0], side->queue[1], --side->queued * sizeof(word));
		grant_notice(&side->core, !side->core.id, word);
	}
}

void mesh_take_from(struct core *core, unsigned from)
{
	assert_int_equal(from, !core->id);
	hear_all(side_of(core));
}

static unsigned place_of(uint64_t gpa, uint64_t *page)
{
	uint64_t at = gpa - GPA_GRANT - SLOT * GRANT_WINDOW, place = at / MEGAPAGE_SIZE;
	*page = at % MEGAPAGE_SIZE / PAGE_SIZE;
	assert_true(place < GRANT_PLACES);
	return (unsigned)place;
}

enum error domain_map(struct domain *d, uint64_t gpa, paddr_t pa, uint64_t bytes, unsigned prot)
{
	uint64_t page;
	unsigned place = place_of(gpa, &page);
	assert_true(d == &sides[SERVER].domain && place < PLACES && page + bytes / PAGE_SIZE <= PAGES && prot == (PROT_READ | PROT_WRITE));
	for (uint64_t i = 0; i < bytes / PAGE_SIZE; i++) {
		assert_true(window[place][page + i] == 0);
		window[place][page + i] = pa + i * PAGE_SIZE;
	}
	return ERR_OK;
}

void domain_unmap(struct domain *d, uint64_t gpa, uint64_t bytes)
{
	uint64_t page;
	unsigned first = place_of(gpa, &page);
	assert_true(d == &sides[SERVER].domain);
	for (unsigned place = first; place < PLACES && place * MEGAPAGE_SIZE < first * MEGAPAGE_SIZE + bytes; place++)
		memset(window[place], 0, sizeof(window[place]));
}

paddr_t domain_frames(struct domain *d, uint64_t pages, enum error *error)
{
	unsigned i = 0;
	assert_true(d == &sides[SERVER].domain && pages == 1);
	*error = ERR_NO_MEMORY;
	frames_short |= d->table.root && chance(32) == 0;
	if (!d->table.root || frames_short) // not while others may hold some
		return 0;
	while (clear_used[i])
		assert_true(++i < CLEAR_PAGES);
	clear_used[i] = true;
	return (paddr_t)clear_pages[i];
}

void domain_frames_free(struct domain *d, paddr_t base, uint64_t pages)
{
	uint64_t i = (base - (paddr_t)clear_pages) / PAGE_SIZE;
	assert_true(d == &sides[SERVER].domain && pages == 1 && i < CLEAR_PAGES && clear_used[i]);
	clear_used[i] = false;
}

void domain_heap_free(struct domain *d, struct heap_block *b)
{
	(void)d, (void)b;
	fail_msg("nobody gives up memory here");
}

void domain_ring(struct domain *d, uint32_t identity)
{
	assert_true(d == &sides[SERVER].domain && identity == IDENTITY_EVENT);
}

// ---- the kernels

static void flush(struct side *side)
{
	if (side->life != DEAD && side->domain.ends[SLOT].tell_grants)
		grants_change(&side->domain, SLOT, GRANTS_TELL);
}

static struct invocation invoke(struct side *side, const uint64_t arg[6])
{
	side->core.serving = &side->domain;
	return (struct invocation){.core = &side->core, .caller = &side->domain, .arg = arg};
}

static void die(struct side *side)
{
	side->life = DEAD;
	side->domain.table.root = 0; // and no frames
	side->core.notices = 0;
	if (side->core.id == SERVER) {
		memset(window, 0, sizeof(window));
		memset(clear_used, 0, sizeof(clear_used));
	}
}

// adopt_claim: who died before it was online leaves nothing that may go on.
static void claim_records(struct side *side)
{
	side->goes_on = side->domain.state == DOMAIN_RUNNING && chance(4) > 0;
	side->domain.state = side->goes_on ? DOMAIN_CREATED : DOMAIN_STOPPED;
	for (unsigned i = 0; i < HEAP_MAX; i++)
		side->domain.heap[i].lent = 0;
	grants_change(&side->domain, SLOT, GRANTS_CLAIM);
	side->core.peers[!side->core.id].listed = false;
	side->life = ALONE;
	met = false;
}

static void meet(void)
{
	for (unsigned i = 0; i < 2; i++) {
		sides[i].queued = 0;
		sides[i].core.peers[!i].listed = false;
		sides[i].life = sides[i].life == ALONE ? STARTING : sides[i].life;
		sides[i].domain.ends[SLOT].tell_grants = true;
	}
	met = true;
	flush(&sides[CLIENT]);
	flush(&sides[SERVER]);
}

static void incarnation_ends(void)
{
	grants_change(&sides[SERVER].domain, SLOT, GRANTS_UNMAP);
	for (unsigned place = 0; place < PLACES; place++)
		places[place].has = places[place].clears = places[place].excused = false;
}

// adopt_finish: with what the other kernel has said, or without.
static void get_online(struct side *side)
{
	bool server = side->core.id == SERVER;
	if (side->life == STARTING) {
		hear_all(side);
		side->core.peers[!side->core.id].listed = met;
	}
	side->domain.table.root = root;
	side->domain.state = DOMAIN_RUNNING;
	grants_change(&side->domain, SLOT, GRANTS_REBORN);
	side->life = ONLINE;
	for (unsigned place = 0; place < PLACES && server; place++)
		places[place].excused |= places[place].has && !places[place].clears && !side->core.peers[CLIENT].listed;
	if (server && !side->goes_on)
		incarnation_ends();
}

static void kernel_step(struct side *side)
{
	struct side *other = &sides[!side->core.id];
	if (side->life == DEAD)
		claim_records(side);
	else if (chance(6) == 0)
		die(side);
	else if (side->life == ALONE && other->life != DEAD && chance(16) > 0)
		meet();
	else if (side->life != ONLINE)
		get_online(side);
	else if (other->life == ONLINE && !met)
		meet();
}

// ---- the programs

static void take_back(unsigned place)
{
	const uint64_t arg[6] = {SLOT, places[place].lent};
	struct invocation c = invoke(&sides[CLIENT], arg);
	enum error error = call_grant_recall(&c);
	assert_true(error == ERR_OK || error == ERR_AGAIN);
	places[place].asked_back = true;
	places[place].recalled |= error == ERR_OK;
}

// What an answer has left behind is taken back, as places_recover does it (runtime/client.c).
static void lend(unsigned place)
{
	const uint64_t arg[6] = {SLOT | (uint64_t)place << 32, GPA_HEAP + place * PAGES * PAGE_SIZE, PAGES << 8 | PROT_READ | PROT_WRITE};
	struct invocation c = invoke(&sides[CLIENT], arg);
	enum error error = call_grant_lend(&c);
	assert_true(error == ERR_OK || error == ERR_STATE);
	if (error == ERR_STATE) {
		take_back(place);
		return;
	}
	places[place].ring = places[place].lent = (uint32_t)c.value[0];
	places[place].asked_back = places[place].recalled = false;
}

// As request_repeat does it (runtime/client.c): asked once more while our kernel holds the grant. Only what was taken back is refused for good.
static void look_at_answer(unsigned place)
{
	const uint64_t arg[6] = {SLOT | (uint64_t)place << 32};
	struct invocation c = invoke(&sides[CLIENT], arg);
	enum error error = call_grant_lend(&c);
	assert_true(error == ERR_STATE || (error == ERR_INVALID && places[place].asked_back));
	places[place].ring = error == ERR_STATE ? places[place].refused : 0;
	places[place].refused = 0;
}

static void end(unsigned place)
{
	const uint64_t arg[6] = {SLOT, places[place].ring};
	struct invocation c = invoke(&sides[SERVER], arg);
	enum error error = call_grant_end(&c);
	assert_true(error == ERR_OK || error == ERR_HANDLE);
	places[place].ring = 0;
	places[place].has = places[place].clears = places[place].excused = false;
}

// What it cannot have it answers with an error.
static void take(unsigned place)
{
	const uint64_t arg[6] = {SLOT, places[place].ring};
	struct invocation c = invoke(&sides[SERVER], arg);
	enum error error = call_grant_take(&c);
	assert_true(error == ERR_OK || error == ERR_HANDLE);
	places[place].has = error == ERR_OK;
	if (error == ERR_OK)
		return;
	const struct grant *client = &sides[CLIENT].domain.ends[SLOT].grants[place];
	if (client->handle == places[place].ring && client->state == GRANT_LENT)
		assert_true(!met || sides[CLIENT].life != ONLINE);
	places[place].refused = places[place].ring;
	end(place);
}

static void programs_step(unsigned place)
{
	if (sides[CLIENT].life == ONLINE && places[place].refused && chance(2))
		look_at_answer(place);
	else if (sides[CLIENT].life == ONLINE && !places[place].ring && !places[place].refused && chance(2))
		lend(place);
	else if (sides[CLIENT].life == ONLINE && places[place].ring && chance(3) == 0)
		take_back(place);
	else if (sides[SERVER].life == ONLINE && places[place].has && !window[place][0] && chance(2)) // it faults
		incarnation_ends();
	else if (sides[SERVER].life == ONLINE && places[place].ring && !places[place].has && chance(8))
		take(place);
	else if (sides[SERVER].life == ONLINE && places[place].ring && chance(4) == 0)
		end(place);
}

static void check(unsigned place)
{
	const struct grant *client = &sides[CLIENT].domain.ends[SLOT].grants[place];
	bool held = sides[CLIENT].life != ONLINE || client->state == GRANT_LENT || client->state == GRANT_RECALLED;
	for (unsigned page = 0; page < PAGES && sides[SERVER].life == ONLINE; page++) {
		paddr_t there = window[place][page];
		if (is_client_memory(there)) {
			assert_true(held && !places[place].recalled && there == client_memory(place) + page * PAGE_SIZE);
			places[place].excused = false;
		}
		assert_true(!places[place].has || there || places[place].excused || frames_short);
		assert_true(places[place].has || !there);
		places[place].clears = places[place].has && there && !is_client_memory(there);
	}
}

// ---- worlds

static void begin(uint64_t number)
{
	memset(sides, 0, sizeof(sides));
	memset(window, 0, sizeof(window));
	memset(clear_used, 0, sizeof(clear_used));
	memset(places, 0, sizeof(places));
	frames_short = false;
	seed = number;
	met = true;
	for (unsigned i = 0; i < 2; i++) {
		struct side *side = &sides[i];
		side->core.id = (core_id_t)i;
		side->core.domains[0] = side->core.serving = &side->domain;
		side->core.peers[!i].doorbell = (paddr_t)&doorbell;
		side->core.peers[!i].listed = true;
		side->domain.core = &side->core;
		side->domain.state = DOMAIN_RUNNING;
		side->domain.ends[SLOT] = (struct channel_end){.state = CHANNEL_OPEN, .role = (uint8_t)i, .peer_core = !i, .tag = TAG};
		side->domain.table.root = root;
		side->life = ONLINE;
	}
	sides[CLIENT].domain.heap[3] = (struct heap_block){.gpa = GPA_HEAP, .pages = PLACES * PAGES, .frames = client_memory(0), .piece = PLACES * PAGES};
}

static void bring_online(void)
{
	for (unsigned i = 0; i < 2; i++)
		if (sides[i].life == DEAD)
			claim_records(&sides[i]);
	if (!met)
		meet();
	for (unsigned i = 0; i < 2; i++)
		if (sides[i].life != ONLINE)
			get_online(&sides[i]);
	for (unsigned n = 0; n < 4; n++) {
		flush(&sides[n % 2]);
		hear_all(&sides[!(n % 2)]);
	}
}

// INV-73 without being asked again: the server knows of it.
static void told(unsigned place)
{
	if (sides[CLIENT].domain.ends[SLOT].grants[place].state == GRANT_RECALLED && !frames_short)
		assert_true(!is_client_memory(window[place][0]));
}

static void all_ends(void)
{
	bring_online();
	for (unsigned place = 0; place < PLACES; place++) {
		check(place);
		told(place);
		if (places[place].refused)
			look_at_answer(place);
		if (places[place].ring && !places[place].has)
			take(place);
		if (places[place].ring)
			end(place);
	}
	bring_online();
	for (unsigned place = 0; place < PLACES; place++)
		if (sides[CLIENT].domain.ends[SLOT].grants[place].state != GRANT_NONE)
			lend(place); // what was answered and not taken
	bring_online();
	for (unsigned place = 0; place < PLACES; place++) {
		check(place);
		assert_int_equal(sides[CLIENT].domain.ends[SLOT].grants[place].state, GRANT_NONE);
	}
	assert_int_equal(sides[CLIENT].domain.heap[3].lent, 0);
	for (unsigned i = 0; i < CLEAR_PAGES; i++)
		assert_false(clear_used[i]);
}

static void step(void)
{
	unsigned what = chance(16);
	if (what < 2)
		kernel_step(&sides[what]);
	else if (what < 4 && sides[what - 2].life != DEAD)
		hear_all(&sides[what - 2]);
	else if (what < 5 && sides[SERVER].life == ONLINE)
		incarnation_ends();
	else
		programs_step(chance(PLACES));
	flush(&sides[CLIENT]);
	flush(&sides[SERVER]);
	for (unsigned place = 0; place < PLACES; place++)
		check(place);
}

static void kernels_die(void **state)
{
	(void)state;
	for (uint64_t number = 0; number < WORLDS; number++) {
		begin(number);
		for (unsigned i = 0; i < STEPS; i++)
			step();
		all_ends();
	}
}

// ---- what is believed of a client's record

#define BLOCK 3u // of the client's heap, of so many pages
#define BLOCK_PAGES 600ul
#define BLOCK_FRAMES 0x200000000ul
#define MAX_PAGES (GRANT_BYTES / PAGE_SIZE)

struct said {
	uint64_t from, pages; // bytes from the block's begin
	uint32_t generation_and_place;
	uint8_t state;
	bool believed;
};

static const struct said records[] = {
	{0, 1, GRANT_PLACES, GRANT_LENT, true},
	{0, MAX_PAGES, GRANT_PLACES, GRANT_LENT, true},
	{(BLOCK_PAGES - 2) * PAGE_SIZE, 2, GRANT_PLACES, GRANT_RECALLED, true},
	{(BLOCK_PAGES - 1) * PAGE_SIZE, 2, GRANT_PLACES, GRANT_LENT, false}, // its end
	{BLOCK_PAGES * PAGE_SIZE, 1, GRANT_PLACES, GRANT_LENT, false},       // behind it
	{(BLOCK_PAGES + 7) * PAGE_SIZE, 1, GRANT_PLACES, GRANT_LENT, false},
	{-PAGE_SIZE, 1, GRANT_PLACES, GRANT_LENT, false}, // before it
	{8, 1, GRANT_PLACES, GRANT_LENT, false},
	{0, 0, GRANT_PLACES, GRANT_LENT, false},
	{0, MAX_PAGES + 1, GRANT_PLACES, GRANT_LENT, false},
	{0, UINT32_MAX, GRANT_PLACES, GRANT_LENT, false},
	{0, 1, GRANT_PLACES + 1, GRANT_LENT, false}, // another place's
	{0, 1, GRANT_PLACES, GRANT_OFFERED, false},  // a server's
	{0, 1, GRANT_PLACES, GRANT_TAKEN, false},
	{0, 1, GRANT_PLACES, GRANT_KEPT, false},
	{0, 1, GRANT_PLACES, 200, false},
};

// What is believed is held, and said to the server's kernel, which maps it: nothing but what lies in the block.
static void client_record_is_bounded(void **state)
{
	(void)state;
	for (unsigned i = 0; i < sizeof(records) / sizeof(records[0]); i++) {
		const struct said *said = &records[i];
		begin(i);
		struct domain *d = &sides[CLIENT].domain;
		struct grant *g = &d->ends[SLOT].grants[0];
		d->heap[BLOCK] = (struct heap_block){.gpa = GPA_HEAP, .pages = BLOCK_PAGES, .frames = BLOCK_FRAMES};
		*g = (struct grant){.handle = said->generation_and_place, .state = said->state, .prot = PROT_READ, .block = BLOCK,
				    .pages = (uint32_t)said->pages, .memory = BLOCK_FRAMES + said->from};
		grants_change(d, SLOT, GRANTS_CLAIM);
		assert_int_equal(d->heap[BLOCK].lent, said->believed);
		assert_int_equal(g->state, said->believed ? said->state : GRANT_NONE);
		assert_int_equal(g->handle, said->generation_and_place % GRANT_PLACES ? 0 : GRANT_PLACES); // no number twice
		grants_change(d, SLOT, GRANTS_TELL);
		assert_int_equal(sides[SERVER].queued, said->believed);
	}
}

// A block that there is not, or of which nothing is there.
static void record_of_no_block(void **state)
{
	(void)state;
	for (unsigned block = 0; block < 256; block++) {
		begin(block);
		struct domain *d = &sides[CLIENT].domain;
		memset(d->heap, 0, sizeof(d->heap));
		d->ends[SLOT].grants[0] = (struct grant){.handle = GRANT_PLACES, .state = GRANT_LENT, .block = (uint8_t)block, .pages = 1};
		grants_change(d, SLOT, GRANTS_CLAIM);
		assert_int_equal(d->ends[SLOT].grants[0].state, GRANT_NONE);
		assert_int_equal(d->heap[block % HEAP_MAX].lent, 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(kernels_die), cmocka_unit_test(client_record_is_bounded), cmocka_unit_test(record_of_no_block)};
	return cmocka_run_group_tests(tests, 0, 0);
}
