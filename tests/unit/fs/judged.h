// For tests of what a commit is judged by: one volume, `h`, and the verdict about what is changed in its memory.
#pragma once
#include "tests/unit/fs/fixture.h"
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <string.h>
#include <cmocka.h>

static struct host h;

static uint64_t make(uint64_t directory, uint16_t op, uint64_t mode, const char *name)
{
	assert_int_equal(host_call(&h, op, directory, mode, 0, name, (uint32_t)strlen(name), 0), ERR_OK);
	return h.result[0];
}

static int no_work(void **state)
{
	(void)state;
	host_free(&h);
	return 0;
}

// What a commit would say now.
static bool judged_good(void)
{
	for (struct buffer *b = h.volume->cache.dirty.first; b; b = b->next)
		b->stale = b->kind == BLOCK_INODES ? b->changed : b->stale;
	checksum_seal(h.volume);
	bool good = judge_commit(h.volume);
	commit_set_facts(h.volume->disk, commit_time_base(h.volume->disk), 0);
	return good;
}

// `words`: of the sentence with which it is refused; 0: it is judged good.
static void judged(const char *words)
{
	fixture_last_log[0] = 0;
	bool good = judged_good();
	if (good == (words != 0) || (words && !strstr(fixture_last_log, words)))
		fail_msg("%s: %s", words ? words : "no flaw", good ? "judged good" : fixture_last_log);
}

// Judged as it would be with that change, which is taken back.
#define CHANGED_ONCE(what, is, words)                                                                                  \
	do {                                                                                                           \
		__typeof__(what) was = (what);                                                                         \
		(what) = (is);                                                                                         \
		judged(words);                                                                                         \
		(what) = was;                                                                                          \
	} while (0)

// The same, and it is judged good after that.
#define CHANGED(what, is, words)                                                                                       \
	do {                                                                                                           \
		CHANGED_ONCE(what, is, words);                                                                         \
		judged(0);                                                                                             \
	} while (0)

static struct buffer *dirty_of(enum block_kind kind)
{
	struct buffer *b = h.volume->cache.dirty.first;
	while (b && b->kind != kind)
		b = b->next;
	assert_non_null(b);
	return b;
}
