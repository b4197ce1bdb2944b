// vu: the smallest library OS: runs programs in VU-mode, each in a space of addresses of its own, and takes their calls and faults.
//
//   vu        one program that speaks, one that touches memory which it has not got yet, one that does what no program may, one without
//             an end, which is killed
//   vu stay   two programs that run and fault for ever; says each second how many rounds there were
//   vu wild   a program whose memory leads to what is not this domain's: the end of all
//
// No kernel is entered by any of it. Owns its programs; if this domain dies they are gone, and if the kernel below it dies they go on.
#include "apps/vu/programs.h"
#include "runtime/console.h"
#include "runtime/fiber.h"
#include "runtime/runtime.h"
#include "runtime/supervision.h"
#include "runtime/user.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define WRITE_MAX 80u
#define PATIENCE_US 20000u // with the program that has no end
#define SAY_US 1000000u

static struct process {
	struct user user; // first: a call-back gets it
	struct user_space space;
	const char *name;
	uint64_t faults, rounds, code;
} processes[2];

static struct process *process_of(struct user *u)
{
	return (struct process *)u;
}

static bool process_writes(struct process *p)
{
	char text[WRITE_MAX + 1] = "";
	uint64_t length = p->user.x[11] < WRITE_MAX ? p->user.x[11] : WRITE_MAX;
	if (!user_copy_in(&p->space, text, p->user.x[10], length))
		return false;
	printf("vu: %s: %s\n", p->name, text);
	return true;
}

// Its page goes, so that the next round faults again. False: a round was lost, or came twice.
static bool process_rounds(struct process *p)
{
	void *page = user_unmap(&p->space, VU_DATA);
	if (page)
		user_page_give(page);
	p->rounds++;
	bool well = page && p->user.x[10] == p->rounds && p->faults == p->rounds;
	fiber_yield(); // the other one runs, in its own space
	return well;
}

static bool process_called(struct user *u)
{
	struct process *p = process_of(u);
	switch (u->x[17]) {
	case VU_WRITE:
		return process_writes(p);
	case VU_ROUND:
		return process_rounds(p);
	default:
		p->code = u->x[10];
		return false;
	}
}

// Memory comes at its first touch.
static bool process_faulted(struct user *u, uint64_t address, unsigned access)
{
	struct process *p = process_of(u);
	if (access == PROT_EXEC || address < VU_DATA || address >= VU_DATA + VU_PAGES * PAGE_SIZE)
		return false;
	void *page = user_page_take();
	if (!page)
		return false;
	if (user_map(u->space, address & ~(PAGE_SIZE - 1), page, PROT_READ | PROT_WRITE) != ERR_OK) {
		user_page_give(page);
		return false;
	}
	p->faults++;
	return true;
}

static bool process_make(struct process *p, const char *name, const char *entry)
{
	static const struct user_events events = {process_called, process_faulted};
	*p = (struct process){.name = name};
	void *text = user_page_take();
	if (!text || user_space_make(&p->space) != ERR_OK)
		return false;
	memcpy(text, vu_programs, PAGE_SIZE);
	user_text_written();
	user_make(&p->user, &p->space, &events, VU_TEXT + (uint64_t)(entry - vu_programs), 0);
	return user_map(&p->space, VU_TEXT, text, PROT_READ | PROT_EXEC) == ERR_OK;
}

static void process_end(struct process *p)
{
	user_end(&p->user);
	user_space_end(&p->space);
}

static void killer(void *argument)
{
	fiber_sleep_us(PATIENCE_US);
	user_kill(argument);
}

static int show(const char *name, const char *entry, bool kill)
{
	struct process *p = &processes[0];
	if (!process_make(p, name, entry) || (kill && !fiber_create(killer, &p->user, "killer"))) {
		printf("vu: there is no memory for %s\n", name);
		return 1;
	}
	enum user_stop stop = user_run_in_turns(&p->user);
	if (stop == USER_KILLED)
		printf("vu: %s was killed at pc 0x%" PRIx64 "\n", name, p->user.x[0]);
	else if (stop == USER_FAULTED)
		printf("vu: %s: cause %" PRIu64 " at pc 0x%" PRIx64 "\n", name, p->user.cause, p->user.x[0]);
	else
		printf("vu: %s ended with code %" PRIu64 " after %" PRIu64 " page faults\n", name, p->code, p->faults);
	process_end(p);
	return 0;
}

// ---- stay

static void stay(void *argument)
{
	struct process *p = argument;
	enum user_stop stop = user_run_in_turns(&p->user);
	printf("vu: over: %s ended (%u, cause %" PRIu64 ") in round %" PRIu64 "\n", p->name, (unsigned)stop, p->user.cause, p->rounds);
}

static int stay_both(void)
{
	static const char *const names[] = {"first", "second"};
	for (unsigned i = 0; i < 2; i++)
		if (!process_make(&processes[i], names[i], vu_rounds) || !fiber_create(stay, &processes[i], names[i]))
			return 1;
	for (;;) {
		fiber_sleep_us(SAY_US);
		printf("vu: %" PRIu64 " and %" PRIu64 " rounds\n", processes[0].rounds, processes[1].rounds);
	}
}

static int run_wild(void)
{
	struct process *p = &processes[0];
	if (process_make(p, "wild", vu_touch) && user_map(&p->space, VU_DATA, (void *)GPA_DEVICE, PROT_READ | PROT_WRITE) == ERR_OK)
		user_run_in_turns(&p->user);
	return 1;
}

int program_main(void)
{
	char text[16] = "";
	(void)supervision_argument(text, sizeof(text));
	if (!(self_manifest()->flags & SERVICE_FLAG_LIBRARY_OS)) {
		printf("vu: the manifest does not say class = \"library-os\"\n");
		return 2;
	}
	user_start();
	if (strcmp(text, "stay") == 0)
		return stay_both();
	if (strcmp(text, "wild") == 0)
		return run_wild();
	int status = show("hello", vu_hello, false) | show("touch", vu_touch, false) | show("illegal", vu_illegal, false) |
		     show("endless", vu_endless, true);
	console_drain();
	return status;
}
