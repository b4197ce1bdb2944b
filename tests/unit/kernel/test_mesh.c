// Kernels that meet (kernel/mesh.c): one that begins anew goes on when all that others hold of its memory has been told, and what domains of
// its own hold of one another's, however many turns of a ring that takes.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>
#include "kernel/riscv/csr.h"
#include "boot/plan.h"

static uint64_t now;
#define time_read() (++now)
#include "kernel/mesh.c"
#undef time_read

#define CORES 2u
#define PARTITION_BYTES (PARTITION_RINGS + CORES * PAGE_SIZE)
#define TURNS 1000u

enum { REBORN, PEER };

static struct plan plan;
static struct core cores[CORES];
static struct domain domains[CORES];
static uint8_t partitions[CORES][PARTITION_BYTES] __attribute__((aligned(PAGE_SIZE)));
static uint32_t doorbells[CORES];
static unsigned to_tell[CORES][CORES], heard[CORES][CORES]; // [by][of]

static struct info_page *page_of(unsigned id)
{
	return partition_info((paddr_t)partitions[id]);
}

// ---- what mesh.c calls

const uint64_t call_nothing[6];

void channel_ask_all(struct core *core, unsigned peer)
{
	core->notices |= to_tell[core->id][peer] > 0;
}

bool channel_notices_send(struct domain *d)
{
	struct core *core = d->core;
	bool all = true;
	for (unsigned peer = 0; peer < CORES; peer++) {
		const uint64_t word[6] = {core->id};
		while (to_tell[core->id][peer] > 0 && mesh_notice(core, peer, NOTICE_GRANT, word))
			to_tell[core->id][peer]--;
		all &= to_tell[core->id][peer] == 0;
		if (peer != core->id && !all && page_of(peer)->state != CORE_PANICKED)
			mesh_take(&cores[peer]); // it is another hart: there is room again just now
	}
	return all;
}

void grant_notice(struct core *core, unsigned from, const uint64_t word[6])
{
	assert_int_equal(word[0], from);
	heard[core->id][from]++;
}

void reboot_listed(struct core *core, unsigned from, const uint64_t word[6])
{
	assert_int_equal(word[0], 0);
	core->peers[from].listed = true;
}

void deadline_arm(struct deadlines *deadlines, struct deadline *deadline, uint64_t time)
{
	(void)deadlines, (void)deadline, (void)time;
}

void call_ring_give_up(struct domain *d, unsigned peer, uint64_t time)
{
	(void)d, (void)peer, (void)time; // nothing is under way
}

// What nobody says here.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-parameter"
#define UNUSED_CALL(head) \
	head                  \
	{                     \
		abort();          \
	}
UNUSED_CALL(void call_finish(struct domain *d, enum error error, const uint64_t value[5]))
UNUSED_CALL(void call_wait(struct domain *d, struct call_flight *flight, unsigned core, unsigned number, uint32_t request, uint64_t end))
UNUSED_CALL(bool call_ring_answered(struct domain *d, unsigned from, uint32_t request, enum error error, const uint64_t value[5]))
UNUSED_CALL(void call_of_kernel(struct core *core, unsigned from, const struct mesh_message *m))
UNUSED_CALL(void call_notice_domain(struct core *core, unsigned from, const uint64_t word[6]))
UNUSED_CALL(void call_notice_complaint(struct core *core, const uint64_t word[6]))
UNUSED_CALL(void channel_answered(struct core *core, unsigned from, uint32_t request, enum error error))
UNUSED_CALL(bool channel_notice(struct core *core, unsigned from, const uint64_t word[6]))
UNUSED_CALL(void channel_notice_ring(struct core *core, unsigned from, uint64_t word))
UNUSED_CALL(void reboot_notice(struct core *core, unsigned from, const uint64_t word[6]))
UNUSED_CALL(void trace_write(struct core *core, enum trace_kind kind, unsigned subject, uint64_t word, uint64_t a, uint64_t b))
UNUSED_CALL(void kernel_panic(struct core *core, const char *format, ...))
UNUSED_CALL(void sbi_hart_stop(void))
#pragma GCC diagnostic pop

// ---- two cores

// As core_start does it.
static void begin(unsigned id, uint32_t incarnation)
{
	struct core *core = &cores[id];
	memset(core, 0, sizeof(*core));
	core->plan = &plan;
	core->id = (core_id_t)id;
	core->core_count = CORES;
	core->incarnation = incarnation;
	core->partition = (paddr_t)partitions[id];
	core->info = page_of(id);
	core->domains[0] = &domains[id];
	domains[id] = (struct domain){.core = core, .state = DOMAIN_BLOCKED};
	memset(partition_heads(core->partition), 0, PAGE_SIZE);
	*core->info = (struct info_page){.core_count = CORES, .state = CORE_STARTING, .incarnation = incarnation};
	mesh_init(core);
}

static void turn(unsigned id)
{
	mesh_take(&cores[id]);
	mesh_flush(&cores[id]);
}

// The peer's is online, and has met the former life of the other.
static void machine_make(void)
{
	plan = (struct plan){.core_count = CORES, .timebase = 1000000};
	memset(partitions, 0, sizeof(partitions));
	memset(to_tell, 0, sizeof(to_tell));
	memset(heard, 0, sizeof(heard));
	for (unsigned i = 0; i < CORES; i++)
		plan.cores[i] = (struct plan_core){.imsic = (paddr_t)&doorbells[i], .partition = (paddr_t)partitions[i], .partition_bytes = PARTITION_BYTES};
	begin(PEER, 5);
	page_of(PEER)->state = CORE_ONLINE;
	begin(REBORN, 1);
	for (unsigned n = 0; n < 4; n++)
		turn(n % 2);
	memset(heard, 0, sizeof(heard));
}

// As wait_for_others does it.
static void wait_for_all(bool peer_answers)
{
	unsigned turns = 0;
	for (unsigned i = 0; i < CORES;) {
		turn(REBORN);
		if (!mesh_core_awaited(&cores[REBORN], i))
			i++;
		else if (peer_answers)
			turn(PEER);
		assert_true(++turns < TURNS);
	}
}

static void what_peers_hold_is_heard(void **state)
{
	(void)state;
	for (unsigned n = 0; n < 100; n += 7) {
		machine_make();
		to_tell[PEER][REBORN] = n;
		begin(REBORN, 2);
		wait_for_all(true);
		assert_int_equal(heard[REBORN][PEER], n);
	}
}

// The other kernel is dead: nobody has to be waited for but for what domains of one core hold of one another's.
static void what_we_hold_ourselves_is_heard(void **state)
{
	(void)state;
	for (unsigned n = 0; n < 100; n += 7) {
		machine_make();
		page_of(PEER)->state = CORE_PANICKED;
		to_tell[REBORN][REBORN] = n;
		begin(REBORN, 2);
		wait_for_all(false);
		assert_int_equal(heard[REBORN][REBORN], n);
	}
}

// At boot core 0 waits for the others to be online, and for nobody's word.
static void others_are_awaited_at_boot(void **state)
{
	(void)state;
	machine_make();
	assert_true(mesh_core_awaited(&cores[REBORN], REBORN));
	assert_false(mesh_core_awaited(&cores[REBORN], PEER));
	page_of(PEER)->state = CORE_STARTING;
	page_of(REBORN)->state = CORE_ONLINE;
	assert_true(mesh_core_awaited(&cores[REBORN], PEER));
	assert_false(mesh_core_awaited(&cores[REBORN], REBORN));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_peers_hold_is_heard),
		cmocka_unit_test(what_we_hold_ourselves_is_heard),
		cmocka_unit_test(others_are_awaited_at_boot),
	};
	return cmocka_run_group_tests(tests, 0, 0);
}
