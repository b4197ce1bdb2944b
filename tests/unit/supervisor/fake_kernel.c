// See fake_kernel.h. Asserts what a kernel relies on: a domain is restored only when stopped, unmapped and its device off.
#include "fake_kernel.h"
#include "runtime/fiber.h"
#include "tests/traced_points.h"
#include "runtime/call_ring.h"
#include "runtime/runtime.h"
#include "supervisor/machine.h"
#include "supervisor/pci.h"
#include "supervisor/print.h"
#include "supervisor/crash_log.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#define FAKE_DOMAINS 64
#define FAKE_SERVICES 64

char fake_trace[8192];
unsigned fake_cores;
bool fake_has_disk;
bool fake_device_on;
enum error fake_quiesce_error;
enum call fake_fail_call;
enum error fake_fail_error;
unsigned fake_fail_count;
bool fake_lost[FAKE_CORES];
bool fake_silent[FAKE_CORES];
bool fake_fenced[FAKE_CORES];
bool fake_starting[FAKE_CORES];
bool fake_deaf_to_us;
unsigned fake_lose_core;
unsigned fake_lose_after;
uint32_t fake_incarnation[FAKE_CORES];
uint64_t fake_now;
unsigned fake_inject_at;
unsigned fake_inject_passages;
bool fake_restarted;
bool fake_old_kernel;
uint32_t inject_any;
void (*fake_while_parked)(void);
static bool fake_woken;

static struct fake_domain fake_domains[FAKE_DOMAINS];
static struct {
	char name[NAME_SIZE];
	unsigned state;
	struct fake_domain *by;
} fake_services[FAKE_SERVICES];
static struct timer *fake_timers[16];

struct pci_device {
	int unused;
};
static struct pci_device fake_disk;

void fake_reset(void)
{
	memset(fake_domains, 0, sizeof fake_domains);
	memset(fake_services, 0, sizeof fake_services);
	memset(fake_timers, 0, sizeof fake_timers);
	memset(fake_lost, 0, sizeof fake_lost);
	fake_trace[0] = 0;
	for (unsigned i = 0; i < FAKE_CORES; i++) {
		fake_incarnation[i] = 1;
		fake_silent[i] = fake_fenced[i] = fake_starting[i] = false;
	}
	fake_cores = FAKE_CORES;
	fake_has_disk = true;
	fake_device_on = false;
	fake_quiesce_error = ERR_OK;
	fake_fail_count = 0;
	fake_now = 1000000;
	fake_lose_core = fake_lose_after = 0;
	fake_inject_at = fake_inject_passages = 0;
	fake_restarted = fake_old_kernel = fake_deaf_to_us = false;
	fake_domains[0] = (struct fake_domain){.used = true, .name = "supervisor", .epoch = 1, .state = DOMAIN_RUNNING};
}

static void fake_note(const char *what, const char *who)
{
	size_t used = strlen(fake_trace);
	snprintf(fake_trace + used, sizeof fake_trace - used, "%s%s:%s", used ? " " : "", what, who);
}

struct fake_domain *fake_find(const char *name)
{
	for (unsigned i = 0; i < FAKE_DOMAINS; i++) {
		if (fake_domains[i].used && strcmp(fake_domains[i].name, name) == 0)
			return &fake_domains[i];
	}
	return 0;
}

static struct fake_domain *fake_of_handle(uint64_t handle)
{
	assert_true(handle >= 1 && handle <= FAKE_DOMAINS);
	return fake_domains[handle - 1].used ? &fake_domains[handle - 1] : 0;
}

enum service_state fake_published(const char *name)
{
	for (unsigned i = 0; i < FAKE_SERVICES; i++) {
		if (strncmp(fake_services[i].name, name, NAME_SIZE) == 0)
			return (enum service_state)fake_services[i].state;
	}
	return SERVICE_NONE;
}

void fake_ready(struct fake_domain *domain)
{
	assert_int_equal(domain->state, DOMAIN_RUNNING);
	domain->ready = true;
}

void fake_crash(struct fake_domain *domain, enum fault_kind kind, uint64_t cause)
{
	domain->state = DOMAIN_STOPPED;
	domain->fault = kind;
	domain->cause = cause;
	domain->pc = 0x200004;
	domain->time_detected = fake_now;
	domain->time_stopped = fake_now;
	domain->clean = false;
}

void fake_reborn(unsigned core, bool kept)
{
	fake_lost[core] = fake_silent[core] = fake_fenced[core] = fake_starting[core] = false;
	fake_incarnation[core]++;
	for (unsigned i = 0; i < FAKE_DOMAINS; i++) {
		struct fake_domain *d = &fake_domains[i];
		if (!d->used || d->core != core)
			continue;
		d->used = kept;
		d->mapped = d->ready = false;
		fake_crash(d, FAULT_CORE, 0);
	}
}

// ---- calls

static struct {
	struct kernel_result result[CALL_RING_SLOTS];
	unsigned count;
	bool filling; // begun and not performed
	bool waits; // for a core that does not answer
} fake_calls;

unsigned fake_waits;

static struct kernel_result fake_of_core(enum call number, uint64_t core)
{
	char text[8];
	snprintf(text, sizeof text, "%u", (unsigned)core);
	if (number == CALL_core_reboot && fake_fenced[core])
		return (struct kernel_result){.error = ERR_CORE_LOST};
	if (number == CALL_core_reboot)
		fake_note("reboot", text);
	if (number == CALL_core_reboot && (!fake_lost[core] || fake_deaf_to_us))
		return (struct kernel_result){.error = ERR_ALIVE};
	if (number == CALL_core_reboot)
		return (struct kernel_result){0};
	if (fake_lost[core] && fake_calls.filling)
		fake_calls.waits = true;
	else if (fake_lost[core])
		fake_waits++;
	if (fake_lost[core])
		return (struct kernel_result){.error = ERR_CORE_LOST};
	return (struct kernel_result){.value = {fake_incarnation[core]}};
}

struct fake_domain *fake_at(uint64_t core, uint64_t index)
{
	for (unsigned i = 0; i < FAKE_DOMAINS; i++) {
		if (fake_domains[i].used && fake_domains[i].core == core && fake_domains[i].index == index)
			return &fake_domains[i];
	}
	return 0;
}

static struct kernel_result fake_create(uint64_t core, const uint64_t name[2])
{
	unsigned index = 0;
	while (index < DOMAIN_MAX && fake_at(core, index))
		index++;
	for (unsigned i = 1; i < FAKE_DOMAINS && index < DOMAIN_MAX; i++) {
		struct fake_domain *d = &fake_domains[i];
		if (d->used)
			continue;
		*d = (struct fake_domain){.used = true, .core = (unsigned)core, .index = index, .clean = true,
					  .state = DOMAIN_CREATED};
		memcpy(d->name, name, NAME_SIZE);
		fake_note("create", d->name);
		return (struct kernel_result){.value = {i + 1, d->index}};
	}
	return (struct kernel_result){.error = ERR_LIMIT};
}

static struct kernel_result fake_open(uint64_t core, uint64_t index)
{
	const struct fake_domain *d = fake_at(core, index);
	if (!d)
		return (struct kernel_result){.error = ERR_NOT_FOUND};
	return (struct kernel_result){.value = {(uint64_t)(d - fake_domains) + 1, d->epoch}};
}

static enum error fake_load(struct fake_domain *d, const uint64_t a[6])
{
	if (a[2] == 0) {
		if (d->state != DOMAIN_STOPPED || fake_old_kernel)
			return ERR_STATE;
		d->loaded = false;
		d->state = DOMAIN_CREATED;
		fake_note("forget", d->name);
		return ERR_OK;
	}
	assert_int_equal(d->state, DOMAIN_CREATED);
	assert_true(a[1] % PAGE_SIZE == 0 && a[2] >> 8 > 0);
	d->loaded = true;
	return ERR_OK;
}

static enum error fake_start(struct fake_domain *d, uint64_t entry, uint64_t sp)
{
	if (d->state != DOMAIN_CREATED && d->state != DOMAIN_STOPPED)
		return ERR_STATE;
	assert_true(d->loaded && d->clean);
	assert_int_equal(sp, GPA_STACK_TOP);
	assert_int_equal(entry, GPA_IMAGE);
	d->state = DOMAIN_RUNNING;
	d->fault = FAULT_NONE;
	d->ready = false;
	d->mapped = true;
	d->clean = false;
	d->epoch++;
	fake_note("start", d->name);
	return ERR_OK;
}

static enum error fake_stop(struct fake_domain *d, uint64_t kind)
{
	fake_note("stop", d->name);
	if (d->state == DOMAIN_RUNNING || d->state == DOMAIN_CREATED)
		fake_crash(d, (enum fault_kind)kind, 0);
	return ERR_OK;
}

static enum error fake_unregister(struct fake_domain *d, bool final)
{
	if (d->state != DOMAIN_STOPPED && d->state != DOMAIN_CREATED)
		return ERR_STATE;
	d->mapped = false;
	d->told_final |= final;
	fake_note(final ? "final" : "unregister", d->name);
	return ERR_OK;
}

static enum error fake_restore(struct fake_domain *d)
{
	if (d->state != DOMAIN_STOPPED)
		return ERR_STATE;
	assert_false(d->mapped);
	assert_false(strcmp(d->name, "blk") == 0 && fake_device_on);
	d->clean = true;
	fake_note("restore", d->name);
	return ERR_OK;
}

static struct kernel_result fake_status(const struct fake_domain *d, uint64_t group)
{
	struct domain_status s = {
		.state = (uint64_t)d->state | (uint64_t)d->fault << 8 | (uint64_t)d->ready << 16,
		.epoch = d->epoch,
		.cause = d->cause,
		.address = d->address,
		.pc = d->pc,
		.ra = d->ra,
		.instruction = d->instruction,
		.time_stopped = d->time_stopped,
		.time_detected = d->time_detected,
	};
	struct kernel_result r = {0};
	memcpy(r.value, (uint64_t *)&s + 5 * group, sizeof r.value);
	return r;
}

static enum error fake_publish(struct fake_domain *d, const uint64_t name[2], uint64_t state)
{
	int place = -1;
	for (int i = FAKE_SERVICES - 1; i >= 0; i--) {
		if (memcmp(fake_services[i].name, name, NAME_SIZE) == 0)
			place = i;
		else if (place < 0 && !fake_services[i].name[0])
			place = i;
	}
	for (int i = 0; i < FAKE_SERVICES; i++) {
		if (memcmp(fake_services[i].name, name, NAME_SIZE) == 0)
			place = i;
	}
	memcpy(fake_services[place].name, name, NAME_SIZE);
	fake_services[place].state = (unsigned)state;
	fake_services[place].by = d;
	return ERR_OK;
}

// Only looks: a mask changes nothing.
static struct kernel_result fake_poke(const struct fake_domain *d, uint64_t place, uint64_t mask)
{
	assert_true(place < 32 && mask == 0);
	assert_int_equal(d->state, DOMAIN_STOPPED);
	assert_false(d->clean); // a restored one has nothing to say
	return (struct kernel_result){.value = {d->registers[place]}};
}

static enum error fake_destroy(struct fake_domain *d)
{
	fake_note("destroy", d->name);
	d->used = false;
	return ERR_OK;
}

static struct kernel_result fake_of_domain(enum call number, struct fake_domain *d, const uint64_t a[6])
{
	struct kernel_result r = {0};
	switch (number) {
	case CALL_domain_load: r.error = fake_load(d, a); break;
	case CALL_domain_start:
		r.error = fake_start(d, a[1], a[2]);
		r.value[0] = d->epoch;
		break;
	case CALL_domain_stop: r.error = fake_stop(d, a[1]); break;
	case CALL_domain_unregister: r.error = fake_unregister(d, a[1]); break;
	case CALL_domain_restore: r.error = fake_restore(d); break;
	case CALL_domain_status: return fake_status(d, a[1]);
	case CALL_domain_poke: return fake_poke(d, a[1], a[2]);
	case CALL_domain_publish: r.error = fake_publish(d, a + 1, a[3]); break;
	case CALL_domain_destroy: r.error = fake_destroy(d); break;
	case CALL_domain_watch: d->watch_us = a[1] * a[2]; break;
	default: fail_msg("call %u is not expected", number);
	}
	return r;
}

static void fake_lose(unsigned core)
{
	if (!fake_lose_core || core != fake_lose_core || fake_lose_after--)
		return;
	fake_lost[core] = true;
	fake_lose_core = 0;
}

struct kernel_result kernel_call(enum call number, uint64_t a0, uint64_t a1, uint64_t a2, uint64_t a3, uint64_t a4,
				 uint64_t a5)
{
	const uint64_t a[6] = {a0, a1, a2, a3, a4, a5};
	if (fake_fail_count && number == fake_fail_call) {
		fake_fail_count--;
		return (struct kernel_result){.error = fake_fail_error};
	}
	if (number == CALL_domain_create || number == CALL_domain_open) {
		fake_lose((unsigned)a0);
		if (fake_lost[a0])
			return (struct kernel_result){.error = ERR_CORE_LOST};
		return number == CALL_domain_create ? fake_create(a0, a + 1) : fake_open(a0, a1);
	}
	if (number == CALL_exit) { // comes back, which a kernel would not
		fake_note("exit", "supervisor");
		return (struct kernel_result){.error = ERR_OK};
	}
	if (number == CALL_core_ping)
		fake_lose((unsigned)a0);
	if (number == CALL_core_ping || number == CALL_core_reboot)
		return fake_of_core(number, a0);
	struct fake_domain *d = fake_of_handle(a0);
	if (!d)
		return (struct kernel_result){.error = ERR_HANDLE};
	fake_lose(d->core);
	if (fake_lost[d->core])
		return (struct kernel_result){.error = ERR_CORE_LOST};
	return fake_of_domain(number, d, a);
}

// ---- calls in batches: performed when they are added

void calls_begin(void)
{
	fake_calls.count = 0;
	fake_calls.filling = true;
	fake_calls.waits = false;
}

unsigned calls_add(enum call number, unsigned after, unsigned from, uint64_t a0, uint64_t a1, uint64_t a2, uint64_t a3,
		   uint64_t a4, uint64_t a5)
{
	struct kernel_result *r = &fake_calls.result[fake_calls.count];
	assert_true(fake_calls.count < CALL_RING_SLOTS && fake_calls.filling);
	assert_true((after == CALLS_NONE || after < fake_calls.count) && (from == CALLS_NONE || from < fake_calls.count));
	if (from != CALLS_NONE)
		a0 = fake_calls.result[from].value[0];
	if (after != CALLS_NONE && fake_calls.result[after].error)
		*r = (struct kernel_result){.error = fake_calls.result[after].error};
	else
		*r = kernel_call(number, a0, a1, a2, a3, a4, a5);
	return fake_calls.count++;
}

void calls_perform(void)
{
	fake_calls.filling = false;
	fake_waits += fake_calls.waits;
}

struct kernel_result calls_result(unsigned call)
{
	assert_true(!fake_calls.filling && call < fake_calls.count);
	return fake_calls.result[call];
}

// ---- runtime

uint64_t time_now(void)
{
	return fake_now++;
}

uint64_t time_ticks_from_us(uint64_t us)
{
	return us * FAKE_TICKS_PER_US;
}

uint64_t time_us_from_ticks(uint64_t ticks)
{
	return ticks / FAKE_TICKS_PER_US;
}

void timer_arm(struct timer *timer, uint64_t deadline)
{
	timer->deadline = deadline;
	timer->armed = true;
	for (unsigned i = 0; i < 16; i++) {
		if (!fake_timers[i] || fake_timers[i] == timer) {
			fake_timers[i] = timer;
			return;
		}
	}
	fail_msg("too many timers");
}

void timer_cancel(struct timer *timer)
{
	timer->armed = false;
	for (unsigned i = 0; i < 16; i++) {
		if (fake_timers[i] == timer)
			fake_timers[i] = 0;
	}
}

void fake_advance_ms(uint64_t ms)
{
	fake_now += ms * 1000 * FAKE_TICKS_PER_US;
	for (unsigned i = 0; i < 16; i++) {
		struct timer *t = fake_timers[i];
		if (!t || t->deadline > fake_now)
			continue;
		timer_cancel(t);
		t->expired(t);
	}
}

void fiber_sleep_us(uint64_t us)
{
	fake_now += us * FAKE_TICKS_PER_US;
}

// The test's only fiber: while it waits, the test's events come.
struct fiber *fiber_self(void)
{
	return (struct fiber *)&fake_now;
}

void fiber_park(void)
{
	fake_woken = false;
	fake_while_parked();
	assert_true(fake_woken); // else it waits for ever
}

void fiber_wake(struct fiber *fiber)
{
	assert_ptr_equal(fiber, &fake_now);
	fake_woken = true;
}

unsigned self_core(void)
{
	return 0;
}

unsigned self_domain(void)
{
	return 0;
}

uint32_t self_epoch(void)
{
	return 1;
}

bool self_restarted(void)
{
	return fake_restarted;
}

bool info_read(unsigned core, struct info_page *copy)
{
	if (core >= fake_cores)
		return false;
	*copy = (struct info_page){.magic = INFO_MAGIC, .core_id = core, .core_count = fake_cores,
				   .incarnation = fake_incarnation[core],
				   .state = fake_lost[core] && !fake_silent[core] ? CORE_PANICKED : CORE_ONLINE};
	if (fake_lost[core] && fake_starting[core]) {
		copy->state = CORE_STARTING;
		return true;
	}
	for (unsigned i = 0; i < FAKE_DOMAINS; i++) {
		const struct fake_domain *d = &fake_domains[i];
		if (!d->used || d->core != core)
			continue;
		copy->domains[d->index].state = d->state;
		copy->domains[d->index].epoch = d->epoch;
		memcpy(copy->domains[d->index].name, d->name, NAME_SIZE);
	}
	return true;
}

enum error inject_fire(struct inject_point *point)
{
	(void)point;
	return ++fake_inject_passages == fake_inject_at ? ERR_INJECTED : ERR_OK;
}

const char *error_sentence(unsigned error)
{
	return error == ERR_INJECTED ? "an injected error" : "some error";
}

void say(const char *format, ...)
{
	char line[CRASH_LINE_MAX];
	va_list list;
	va_start(list, format);
	vsnprintf(line, sizeof line, format, list);
	va_end(list);
	crash_log_line(line);
}

void print_pump(void)
{
}

// ---- devices

enum error machine_uart_attach(const struct machine *machine, uint64_t domain)
{
	(void)machine;
	fake_note("uart", fake_of_handle(domain)->name);
	return ERR_OK;
}

struct pci_device *pci_device_find(enum manifest_device class, unsigned index)
{
	return class == DEVICE_BLOCK && index == 0 && fake_has_disk ? &fake_disk : 0;
}

enum error pci_device_attach(struct pci_device *device, uint64_t domain)
{
	assert_ptr_equal(device, &fake_disk);
	fake_note("attach", fake_of_handle(domain)->name);
	return ERR_OK;
}

enum error pci_device_start(struct pci_device *device)
{
	assert_ptr_equal(device, &fake_disk);
	fake_device_on = true;
	fake_note("on", "disk");
	return ERR_OK;
}

enum error pci_device_quiesce(struct pci_device *device)
{
	assert_ptr_equal(device, &fake_disk);
	if (fake_quiesce_error)
		return fake_quiesce_error;
	fake_device_on = false;
	fake_note("off", "disk");
	return ERR_OK;
}
