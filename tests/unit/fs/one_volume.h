// For files whose cases have one volume at a time: `h`, made, used by names, and judged by e2fsck at the end.
#pragma once
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include "fixture.h"
#include <string.h>

static struct host h;

static void mount(const char *options, unsigned kib)
{
	host_make(&h, options, kib, 0, 1 << 20, 1 << 19);
	assert_int_equal(host_mount(&h), ERR_OK);
}

static void finish(void)
{
	assert_int_equal(host_commit(&h), ERR_OK);
	assert_true(host_clean(&h));
	assert_int_equal(h.volume->corruptions, 0);
	host_free(&h);
}

static uint64_t create(const char *name)
{
	assert_int_equal(host_call(&h, FS_OP_CREATE, host_root(&h), 0100644, FS_CREATE_EXCLUSIVE, name,
				   (uint32_t)strlen(name), 0),
			 ERR_OK);
	return h.result[0];
}

static enum error named(uint16_t op, uint64_t directory, uint64_t a1, const char *name)
{
	return host_call(&h, op, directory, a1, 0, name, (uint32_t)strlen(name), 0);
}
