// Children: partners that the tests make, wait for, and destroy.
//
// Owns the list of all that live, so that a failed test leaves none behind. Waits have a failsafe of half a minute.
#include "apps/kernel_test/test.h"
#include <string.h>

#define CHILDREN_MAX 64
#define CHILD_QUOTA 160 // pages
#define STACK_PAGES 4ul
#define WAIT_SECONDS 30

static uint64_t living[CHILDREN_MAX]; // handles

static void list_change(uint64_t from, uint64_t to)
{
	for (unsigned i = 0; i < CHILDREN_MAX; i++) {
		if (living[i] != from)
			continue;
		living[i] = to;
		return;
	}
}

void test_nap(uint64_t us)
{
	csr_clear(CSR_SIE, INTERRUPT_EXTERNAL); // the clock alone
	uint64_t end = time_read() + us * test_self.timebase / 1000000;
	while (time_read() < end)
		bare_sleep(&test_self, us);
	csr_set(CSR_SIE, INTERRUPT_EXTERNAL);
}

uint64_t test_argument(const struct partner_argument *argument)
{
	uint64_t word;
	memcpy(&word, argument, sizeof(word));
	return word;
}

bool child_create(struct child *c, unsigned core, const char *order, uint64_t argument, unsigned priority, unsigned flags)
{
	struct kernel_result r = kcall(CALL_domain_create, core, partner_word(order), argument, CHILD_QUOTA,
				       (uint64_t)priority << 32 | flags);
	*c = (struct child){r.error ? 0 : r.value[0], core, (unsigned)r.value[1], 0};
	if (!test_check(r.error == ERR_OK, __LINE__, "domain_create of %s on core %u: error %u", order, core, r.error))
		return false;
	list_change(0, c->handle);
	return true;
}

bool child_load(const struct child *c)
{
	enum error error = ERR_OK;
	for (unsigned i = 0; i < test_segment_count && !error; i++) {
		const struct test_segment *s = &test_segments[i];
		error = kcall(CALL_domain_load, c->handle, s->gpa, s->pages << 8 | s->prot, s->offset, s->length).error;
	}
	if (!error)
		error = kcall(CALL_domain_load, c->handle, GPA_STACK_TOP - STACK_PAGES * PAGE_SIZE,
			      STACK_PAGES << 8 | PROT_READ | PROT_WRITE, 0, 0)
				.error;
	return test_check(error == ERR_OK, __LINE__, "domain_load on core %u: error %u", c->core, error);
}

bool child_begin(struct child *c)
{
	struct kernel_result r = kcall(CALL_domain_start, c->handle, test_entry, GPA_STACK_TOP);
	c->epoch = (uint32_t)r.value[0];
	return test_check(r.error == ERR_OK, __LINE__, "domain_start on core %u: error %u", c->core, r.error);
}

bool child_run_as(struct child *c, unsigned core, const char *order, uint64_t argument, unsigned priority, unsigned flags)
{
	return child_create(c, core, order, argument, priority, flags) && child_load(c) && child_begin(c);
}

bool child_run(struct child *c, unsigned core, const char *order, uint64_t argument)
{
	return child_run_as(c, core, order, argument, 1, 0);
}

struct domain_status child_status(const struct child *c)
{
	struct domain_status s = {0};
	for (unsigned g = 0; g < DOMAIN_STATUS_GROUPS; g++) {
		struct kernel_result r = kcall(CALL_domain_status, c->handle, g);
		if (r.error)
			return (struct domain_status){0};
		memcpy((uint64_t *)&s + 5 * g, r.value, sizeof(r.value));
	}
	return s;
}

unsigned child_state(const struct child *c)
{
	return (uint8_t)kcall(CALL_domain_status, c->handle, 0).value[0];
}

bool child_wait(const struct child *c, struct domain_status *status)
{
	uint64_t end = time_read() + WAIT_SECONDS * test_self.timebase, us = 50;
	while (child_state(c) != DOMAIN_STOPPED) {
		if (time_read() > end)
			return test_check(false, __LINE__, "the child on core %u does not stop: state %u", c->core,
					  child_state(c));
		test_nap(us);
		us = us < 2000 ? 2 * us : us;
	}
	*status = child_status(c);
	return true;
}

bool child_exits(const struct child *c, uint64_t code)
{
	struct domain_status s;
	if (!child_wait(c, &s))
		return false;
	return test_check((uint8_t)(s.state >> 8) == FAULT_EXIT && s.cause == code, __LINE__,
			  "the child on core %u ended with kind %u, cause %lx, address %lx, pc %lx; expected was exit %lx", c->core,
			  (unsigned)(uint8_t)(s.state >> 8), (unsigned long)s.cause, (unsigned long)s.address,
			  (unsigned long)s.pc, (unsigned long)code);
}

bool child_wait_ready(const struct child *c)
{
	uint64_t end = time_read() + WAIT_SECONDS * test_self.timebase;
	for (;;) {
		uint64_t state = kcall(CALL_domain_status, c->handle, 0).value[0];
		if (state >> 16 & 1)
			return true;
		if ((uint8_t)state == DOMAIN_STOPPED || time_read() > end)
			return test_check(false, __LINE__, "the child on core %u is not ready: state %lx, cause %lx", c->core,
					  (unsigned long)state, (unsigned long)kcall(CALL_domain_status, c->handle, 0).value[2]);
		test_nap(100);
	}
}

bool child_destroy(struct child *c)
{
	enum error error = kcall(CALL_domain_destroy, c->handle).error;
	list_change(c->handle, 0);
	c->handle = 0;
	return test_check(error == ERR_OK, __LINE__, "domain_destroy on core %u: error %u", c->core, error);
}

bool child_restore(const struct child *c)
{
	enum error stop = kcall(CALL_domain_stop, c->handle, FAULT_KILLED).error;
	enum error unregister = kcall(CALL_domain_unregister, c->handle, 0).error;
	enum error restore = kcall(CALL_domain_restore, c->handle).error;
	return test_check(!stop && !unregister && !restore, __LINE__, "stop, unregister, restore: errors %u, %u, %u", stop,
			  unregister, restore);
}

bool child_publish(const struct child *c, char service, enum service_state state)
{
	enum error error = kcall(CALL_domain_publish, c->handle, partner_service(service), 0, state).error;
	return test_check(error == ERR_OK, __LINE__, "domain_publish: error %u", error);
}

bool child_serve_as(struct child *c, unsigned core, const char *order, uint64_t argument, unsigned priority, unsigned flags, char service)
{
	return child_run_as(c, core, order, argument, priority, flags) && child_wait_ready(c) && child_publish(c, service, SERVICE_UP);
}

bool child_serve(struct child *c, unsigned core, const char *order, uint64_t argument, char service)
{
	return child_serve_as(c, core, order, argument, 1, 0, service);
}

bool child_withdraw(struct child *c, char service)
{
	return child_publish(c, service, SERVICE_NONE) && child_destroy(c);
}

void test_pairs(void (*pair)(unsigned core, unsigned other, unsigned flags, unsigned other_flags))
{
	const unsigned flags[] = {0, DOMAIN_FLAG_NO_FILE};
	unsigned step = test_cores > 4 ? 3 : 1;
	for (unsigned core = 0; core < test_cores; core += step)
		for (unsigned other = 0; other < test_cores; other += step)
			for (unsigned f = 0; f < 4 && !test_failed(); f++)
				pair(core, other, flags[f & 1], flags[f >> 1]);
}

// With the names that a failed test left on their cores.
void child_destroy_all(void)
{
	for (unsigned i = 0; i < CHILDREN_MAX; i++) {
		if (!living[i])
			continue;
		for (char letter = 'a'; letter <= 'd'; letter++)
			kcall(CALL_domain_publish, living[i], partner_service(letter), 0, SERVICE_NONE);
		kcall(CALL_domain_destroy, living[i]);
	}
	memset(living, 0, sizeof(living));
}
