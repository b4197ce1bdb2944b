// crasher: dies in the way that its argument names. Part of the tests.
//
//   crasher illegal|wild|null|text|jump|stack|assert|exit N|hang|sleep|quota|csr|translate|call
//
// Owns nothing. What may harm nobody (quota, call, csr) is expected to be refused; then it says so and exits with 0.
#include "runtime/console.h"
#include "runtime/csr.h"
#include "runtime/error_text.h"
#include "runtime/runtime.h"
#include "runtime/supervision.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int die_illegal(const char *rest)
{
	(void)rest;
	__asm__ volatile("unimp");
	return 1;
}

static int die_wild(const char *rest)
{
	(void)rest;
	*(volatile uint64_t *)0x123456789000ul = 1;
	return 1;
}

static int die_null(const char *rest)
{
	(void)rest;
	volatile uint64_t *volatile nothing = 0;
	return (int)*nothing;
}

static int die_text(const char *rest)
{
	(void)rest;
	*(volatile uint32_t *)(uintptr_t)die_null = 0;
	return 1;
}

static int die_jump(const char *rest)
{
	(void)rest;
	((void (*)(void))(uintptr_t)0x5000)();
	return 1;
}

static int die_stack(const char *rest)
{
	volatile char here[1024];
	here[0] = rest[0];
	if (here[0] == rest[0]) // always: the compiler does not know
		return die_stack((const char *)here) + here[1];
	return 1;
}

static int die_assert(const char *rest)
{
	invariant(rest == 0);
	return 1;
}

static int die_exit(const char *rest)
{
	return atoi(rest);
}

static int die_hang(const char *rest)
{
	(void)rest;
	printf("crasher: from here on nothing happens\n");
	for (bool ever = true; ever;)
		__asm__ volatile("" : "+r"(ever)::"memory");
	return 1;
}

static int die_sleep(const char *rest)
{
	(void)rest;
	printf("crasher: from here on nothing happens\n");
	csr_write(CSR_SIE, 0);
	for (bool ever = true; ever;) {
		wait_for_interrupt();
		__asm__ volatile("" : "+r"(ever));
	}
	return 1;
}

// All memory of the quota, and then a refusal: the kernel's sentence, not a crash.
static int die_quota(const char *rest)
{
	(void)rest;
	uint64_t pages = 0;
	struct kernel_result r;
	while ((r = kcall(CALL_memory_alloc, 16)).error == ERR_OK)
		pages += 16;
	printf("crasher: %" PRIu64 " pages, then: %s\n", pages, error_sentence(r.error));
	return r.error == ERR_QUOTA || r.error == ERR_NO_MEMORY || r.error == ERR_LIMIT ? 0 : 1;
}

// A register of the level above.
static int die_csr(const char *rest)
{
	(void)rest;
	uint64_t value;
	__asm__ volatile("csrr %0, 0x680" : "=r"(value)); // hgatp
	return 1;
}

// A translation of one's own: the next fetch faults, and nobody else may notice.
static int die_translate(const char *rest)
{
	(void)rest;
	__asm__ volatile("csrw satp, %0\n sfence.vma" ::"r"(8ul << 60 | 0x123) : "memory");
	return 1;
}

// Every kernel call with nonsense: each must be refused or harmless. But for those that do what they are asked: to end, to
// print, to close the channel that it prints by, and to wait for callers.
static int die_call(const char *rest)
{
	(void)rest;
	uint64_t x = 88172645463325252ull;
	for (unsigned i = 0; i < 20000; i++) {
		uint64_t a[6];
		for (unsigned j = 0; j < 6; j++) {
			x ^= x << 13;
			x ^= x >> 7;
			x ^= x << 17;
			a[j] = x % 3 == 0 ? x : x % 3 == 1 ? x % 100 : x % 0x200000000;
		}
		unsigned call = (unsigned)(x >> 20) % (CALL_COUNT + 20);
		if (call == CALL_exit || call == CALL_log || call == CALL_ready || call == CALL_channel_close ||
		    call == CALL_endpoint_receive)
			continue;
		(void)kernel_call((enum call)call, a[0], a[1], a[2], a[3], a[4], a[5]);
	}
	printf("crasher: 20000 senseless calls were survived\n");
	return 0;
}

static const struct {
	const char *word;
	int (*die)(const char *rest);
} ways[] = {
	{"illegal", die_illegal}, {"wild", die_wild},   {"null", die_null},	  {"text", die_text},
	{"jump", die_jump},	  {"stack", die_stack}, {"assert", die_assert},	  {"exit", die_exit},
	{"hang", die_hang},	  {"sleep", die_sleep}, {"quota", die_quota},	  {"csr", die_csr},
	{"call", die_call},	  {"translate", die_translate},
};

int program_main(void)
{
	static char arguments[128];
	enum error e = console_open();
	if (e == ERR_OK)
		e = supervision_argument(arguments, sizeof(arguments));
	if (e != ERR_OK)
		return 2;
	size_t length = strcspn(arguments, " ");
	for (unsigned i = 0; i < sizeof(ways) / sizeof(ways[0]); i++)
		if (strlen(ways[i].word) == length && strncmp(ways[i].word, arguments, length) == 0)
			return ways[i].die(arguments + length);
	printf("crasher: no such way to die: %s\n", arguments);
	return 2;
}
