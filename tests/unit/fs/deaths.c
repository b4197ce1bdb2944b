// See deaths.h.
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include "deaths.h"
#include <stdlib.h>
#include <string.h>

void die_after(uint64_t steps)
{
	fixture_die_at = steps ? fixture_steps + steps : 0;
}

void host_power_on(struct host *h, const uint8_t *image)
{
	memcpy(h->image.bytes, image, h->image.disk.bytes);
	memset(h->image.log, 0, h->image.disk.log_bytes);
	h->image.pending_count = 0;
	while (h->record_count)
		free(h->records[--h->record_count].out);
}

bool host_start(struct host *h, bool resumed)
{
	if (setjmp(fixture_death))
		return false;
	if (resumed)
		assert_int_equal(host_reincarnate(h), 0);
	else
		assert_int_equal(host_mount(h), ERR_OK);
	return true;
}

void host_start_with_deaths(struct host *h, unsigned steps)
{
	bool resumed = false;
	do {
		die_after(fixture_random() % 4 ? 1 + fixture_random() % steps : 0);
		if (host_start(h, resumed))
			break;
		resumed = true;
	} while (true);
	die_after(0);
}

bool model_run(struct model *m, struct host *h, unsigned ops, unsigned commit_every)
{
	if (setjmp(fixture_death))
		return false;
	for (unsigned i = 0; i < ops; i++) {
		assert_true(model_step(m, h));
		h->now += fixture_random() % 3;
		if (i % commit_every == commit_every - 1)
			assert_int_equal(host_commit(h), ERR_OK);
	}
	return true;
}
