// The supervisor over a kernel that is not there: a whole boot, restarts of every kind, and a fault at every step.
#include "abi/event.h"
#include "build.h"
#include "fake_kernel.h"
#include "runtime/runtime.h"
#include "supervisor/audit.h"
#include "supervisor/cores.h"
#include "supervisor/crash_log.h"
#include "supervisor/jobs.h"
#include "supervisor/restart.h"
#include "supervisor/services.h"
#include "supervisor/watch.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static struct image boot_image;
static struct machine boot_machine;
static struct build boot_build;
static uint64_t boot_log; // offset in the log

enum { BOOT_SUPERVISOR, BOOT_CONSOLE, BOOT_BLK, BOOT_FS, BOOT_SHELL, BOOT_HELLO, BOOT_COUNT };

static void boot_records(struct manifest_service s[BOOT_COUNT])
{
	s[BOOT_SUPERVISOR] = build_service("supervisor");
	build_serves(&s[BOOT_SUPERVISOR], "supervisor");
	s[BOOT_CONSOLE] = build_service("console");
	build_serves(&s[BOOT_CONSOLE], "console");
	s[BOOT_CONSOLE].device = DEVICE_UART;
	s[BOOT_BLK] = build_service("blk");
	build_serves(&s[BOOT_BLK], "block0");
	s[BOOT_BLK].device = DEVICE_BLOCK;
	s[BOOT_BLK].core = 1;
	s[BOOT_FS] = build_service("fs");
	build_serves(&s[BOOT_FS], "fs");
	build_uses(&s[BOOT_FS], "block0");
	s[BOOT_FS].core = 6; // modulo the 4 cores that there are
	s[BOOT_SHELL] = build_service("shell");
	build_uses(&s[BOOT_SHELL], "console");
	build_uses(&s[BOOT_SHELL], "fs");
	s[BOOT_HELLO] = build_service("hello");
	s[BOOT_HELLO].flags = SERVICE_FLAG_APP;
}

static void boot_begin(const struct manifest_service s[BOOT_COUNT])
{
	char why[256];
	build_free(&boot_build);
	boot_build = build_image(s, BOOT_COUNT);
	boot_machine = (struct machine){.uart = {.base = 0x10000000, .bytes = 256, .source = 10}};
	assert_int_equal(image_open(&boot_image, boot_build.data, boot_build.bytes, why, sizeof why), ERR_OK);
	assert_true(image_is_whole(&boot_image));
	boot_log = crash_log_end();
	assert_int_equal(services_setup(&boot_image, &boot_machine, fake_cores), ERR_OK);
	cores_begin();
}

static void boot_event(const char *name)
{
	struct fake_domain *d = fake_find(name);
	watch_event(EVENT_DOMAIN, d->core, d->index, d->epoch);
	services_advance();
}

static void boot_is_ready(const char *name)
{
	fake_ready(fake_find(name));
	boot_event(name);
}

static void boot_whole(const struct manifest_service s[BOOT_COUNT])
{
	boot_begin(s);
	services_advance();
	boot_is_ready("console");
	boot_is_ready("blk");
	boot_is_ready("fs");
	assert_true(services_settled());
}

// The default records, all up.
static void boot_default(void)
{
	struct manifest_service s[BOOT_COUNT];
	boot_records(s);
	boot_whole(s);
}

static struct service *boot_service(const char *name)
{
	return services_by_name(name, strlen(name));
}

// Text of the log since boot_begin.
static const char *boot_said(void)
{
	static char text[CRASH_LOG_BYTES + 1];
	uint64_t offset = boot_log, lost;
	text[crash_log_read(&offset, text, CRASH_LOG_BYTES, &lost)] = 0;
	return text;
}

static void boot_traced(const char *expected)
{
	assert_string_equal(fake_trace, expected);
	fake_trace[0] = 0;
}

static int boot_setup(void **state)
{
	(void)state;
	fake_reset();
	return 0;
}

// ---- boot

static void test_boot_in_order(void **state)
{
	(void)state;
	struct manifest_service s[BOOT_COUNT];
	boot_records(s);
	boot_begin(s);
	services_advance();
	boot_traced("create:console create:blk uart:console start:console attach:blk on:disk start:blk");
	assert_int_equal(fake_published("fs"), SERVICE_NONE);
	assert_int_equal(fake_published("block0"), SERVICE_STARTING);
	boot_is_ready("blk");
	assert_int_equal(fake_published("block0"), SERVICE_UP);
	boot_traced("create:fs start:fs");
	boot_is_ready("console");
	boot_traced("");
	assert_false(services_settled());
	boot_is_ready("fs");
	boot_traced("create:shell start:shell");
	assert_true(services_settled());
	assert_int_equal(fake_find("blk")->core, 1);
	assert_int_equal(fake_find("fs")->core, 2);
	assert_int_equal(fake_find("blk")->watch_us, 10000);
	assert_int_equal(boot_service("shell")->phase, PHASE_UP);
	assert_null(fake_find("hello"));
}

static void test_boot_without_disk(void **state)
{
	(void)state;
	struct manifest_service s[BOOT_COUNT];
	boot_records(s);
	fake_has_disk = false;
	boot_begin(s);
	services_advance();
	boot_traced("create:console create:fs uart:console start:console start:fs");
	assert_int_equal(fake_published("block0"), SERVICE_HELD);
	assert_non_null(strstr(boot_said(), "blk is held: this machine has no block device 0\n"));
	boot_is_ready("fs");
	boot_is_ready("console");
	assert_true(services_settled());
	assert_int_equal(watch_kill(boot_service("blk")), ERR_STATE);
	fake_has_disk = true; // plugged in, and asked for
	assert_int_equal(watch_restart(boot_service("blk")), ERR_OK);
	assert_int_equal(fake_published("block0"), SERVICE_STARTING);
	boot_is_ready("blk");
	assert_int_equal(fake_published("block0"), SERVICE_UP);
}

// The device is a component's (docs/placement.md): its domain starts all the same, and again.
static void test_boot_without_a_mates_disk(void **state)
{
	(void)state;
	struct manifest_service s[BOOT_COUNT];
	boot_records(s);
	s[BOOT_BLK].device_component = 1;
	memcpy(s[BOOT_BLK].image, "blk.b", 6);
	fake_has_disk = false;
	boot_begin(s);
	services_advance();
	assert_non_null(strstr(boot_said(), "blk starts without one of its components: this machine has no block device 0\n"));
	boot_is_ready("blk");
	assert_int_equal(fake_published("block0"), SERVICE_UP);
}

static void test_boot_without_uart(void **state)
{
	(void)state;
	struct manifest_service s[BOOT_COUNT];
	boot_records(s);
	boot_begin(s);
	boot_machine.uart.bytes = 0;
	services_advance();
	assert_int_equal(boot_service("console")->phase, PHASE_HELD);
	assert_non_null(strstr(boot_said(), "console is held: this machine has no UART 0\n"));
	assert_int_equal(boot_service("blk")->phase, PHASE_STARTING);
}

static void test_boot_missing_image(void **state)
{
	(void)state;
	struct manifest_service s[BOOT_COUNT];
	boot_records(s);
	boot_begin(s);
	memcpy(boot_service("blk")->image, "nothing\0\0\0\0\0\0\0\0", NAME_SIZE);
	services_advance();
	assert_int_equal(boot_service("blk")->phase, PHASE_HELD);
	assert_non_null(strstr(boot_said(), "blk is held: image \"nothing\" is not in the boot image\n"));
	assert_non_null(fake_find("fs")); // starts anyway
}

static void test_boot_with_a_circle(void **state)
{
	(void)state;
	struct manifest_service s[BOOT_COUNT];
	char why[256];
	boot_records(s);
	build_uses(&s[BOOT_BLK], "fs");
	build_free(&boot_build);
	boot_build = build_image(s, BOOT_COUNT);
	assert_int_equal(image_open(&boot_image, boot_build.data, boot_build.bytes, why, sizeof why), ERR_OK);
	boot_log = crash_log_end();
	assert_int_equal(services_setup(&boot_image, &boot_machine, fake_cores), ERR_LOOP);
	services_advance();
	assert_non_null(fake_find("console"));
	assert_null(fake_find("fs"));
	assert_non_null(strstr(boot_said(), "services wait for each other in a circle"));
	assert_int_equal(boot_service("fs")->phase, PHASE_HELD);
	assert_true(services_settled() == false); // the console starts still
	boot_is_ready("console");
	assert_true(services_settled());
}

static void test_boot_no_memory(void **state)
{
	(void)state;
	struct manifest_service s[BOOT_COUNT];
	boot_records(s);
	boot_begin(s);
	fake_fail_call = CALL_domain_load;
	fake_fail_error = ERR_NO_MEMORY;
	fake_fail_count = 1;
	services_advance();
	assert_int_equal(boot_service("console")->phase, PHASE_HELD);
	assert_null(fake_find("console")); // nothing half-made stays
	assert_int_equal(boot_service("blk")->phase, PHASE_STARTING);
}

// ---- restart

#define BLK_RESTART "stop:blk off:disk unregister:blk restore:blk on:disk start:blk"

static void test_restart_after_crash(void **state)
{
	(void)state;
	boot_default();
	fake_trace[0] = 0;
	fake_crash(fake_find("blk"), FAULT_EXCEPTION, 2);
	boot_event("blk");
	boot_traced(BLK_RESTART);
	assert_int_equal(fake_published("block0"), SERVICE_STARTING);
	assert_int_equal(boot_service("blk")->epoch, 2);
	boot_event("blk"); // late or twice: nothing
	boot_traced("");
	boot_is_ready("blk");
	boot_event("blk");
	boot_traced("");
	assert_int_equal(fake_published("block0"), SERVICE_UP);
	assert_non_null(strstr(boot_said(), "blk (core 1, domain 1, epoch 1) died: illegal instruction (cause 2) at pc "
					    "0x200004 main+0x4"));
	assert_non_null(strstr(boot_said(), "blk is back as epoch 2 after "));
	struct supervisor_service out;
	services_fill(boot_service("blk"), &out);
	assert_true(out.restarts == 1 && out.faults == 1 && out.hangs == 0 && out.state == SERVICE_UP);
	assert_int_equal(boot_service("fs")->epoch, 1);
}

static void boot_panic(const char *name, uint64_t file, uint64_t claim)
{
	struct fake_domain *d = fake_find(name);
	fake_crash(d, FAULT_EXCEPTION, 2);
	d->instruction = DOMAIN_PANIC_INSTRUCTION;
	d->ra = GPA_IMAGE + 40;
	d->registers[10] = file;
	d->registers[11] = 77;
	d->registers[12] = claim;
	boot_event(name);
	boot_is_ready(name);
	d->instruction = 0;
}

// Where and what failed is read before the restart clears it, and only what stands in the image as a constant is told.
static void test_restart_after_assertion(void **state)
{
	(void)state;
	boot_default();
	boot_panic("blk", BUILD_FILE_AT, BUILD_CLAIM_AT);
	assert_non_null(strstr(boot_said(), "blk (core 1, domain 1, epoch 1) died: assertion failed at tests/unit.c:77 (x > 0), "
					    "pc 0x200028 helper+0x8\n"));
	const uint64_t nonsense[] = {0, GPA_IMAGE, GPA_IMAGE + 100, GPA_IMAGE + PAGE_SIZE, ~0ull, GPA_STACK_TOP};
	for (unsigned i = 0; i < sizeof nonsense / sizeof nonsense[0]; i++) {
		boot_log = crash_log_end();
		boot_panic("blk", nonsense[i], BUILD_CLAIM_AT);
		assert_non_null(strstr(boot_said(), "died: assertion failed, pc 0x200028 helper+0x8\n"));
		boot_log = crash_log_end();
		boot_panic("fs", BUILD_FILE_AT, nonsense[i]);
		assert_non_null(strstr(boot_said(), "died: assertion failed, pc 0x200028 helper+0x8\n"));
		fake_advance_ms(10000); // out of the restart rule's window
	}
	boot_log = crash_log_end();
	fake_fail_call = CALL_domain_poke;
	fake_fail_error = ERR_STATE;
	fake_fail_count = 3;
	boot_panic("blk", BUILD_FILE_AT, BUILD_CLAIM_AT);
	assert_non_null(strstr(boot_said(), "died: assertion failed, pc "));
}

static void test_restart_times(void **state)
{
	(void)state;
	struct supervisor_restart times[4];
	uint64_t first = ~0ull;
	boot_default();
	restart_times(&first, times, 4); // moves to the end
	assert_int_equal(first, 0);
	fake_crash(fake_find("fs"), FAULT_HANG, 0);
	fake_find("fs")->time_detected -= 12000 * FAKE_TICKS_PER_US;
	boot_event("fs");
	boot_is_ready("fs");
	assert_int_equal(restart_times(&first, times, 4), 1);
	assert_string_equal(times[0].name, "fs");
	assert_int_equal(times[0].kind, FAULT_HANG);
	assert_int_equal(times[0].epoch, 2);
	assert_true(times[0].fault + 12000 * FAKE_TICKS_PER_US < times[0].detected);
	assert_true(times[0].detected < times[0].started && times[0].started < times[0].ready);
	assert_non_null(strstr(boot_said(), "died: hang, no answer for 12.000 ms"));
	first++;
	restart_number_from(3); // the supervisor was restarted twice: a reader goes on without a gap
	assert_int_equal(restart_times(&first, times, 4), 0);
	assert_int_equal(first, 2 << RESTART_NUMBERS_LOG);
	watch_kill(boot_service("blk"));
	boot_is_ready("blk");
	assert_int_equal(restart_times(&first, times, 4), 1);
	assert_string_equal(times[0].name, "blk");
}

static void test_restart_rule_to_hold(void **state)
{
	(void)state;
	struct manifest_service s[BOOT_COUNT];
	boot_records(s);
	s[BOOT_BLK].burst = 2;
	s[BOOT_BLK].delay_ms = 20;
	boot_whole(s);
	fake_trace[0] = 0;
	fake_crash(fake_find("blk"), FAULT_EXCEPTION, 2);
	boot_event("blk");
	boot_is_ready("blk");
	boot_traced(BLK_RESTART);
	fake_crash(fake_find("blk"), FAULT_EXCEPTION, 2);
	boot_event("blk");
	boot_traced("stop:blk off:disk unregister:blk"); // fenced at once, started later
	assert_int_equal(fake_published("block0"), SERVICE_DOWN);
	fake_advance_ms(19);
	boot_traced("");
	fake_advance_ms(2);
	boot_traced("restore:blk on:disk start:blk");
	boot_is_ready("blk");
	fake_crash(fake_find("blk"), FAULT_EXCEPTION, 2);
	boot_event("blk");
	boot_traced("stop:blk off:disk final:blk");
	assert_int_equal(fake_published("block0"), SERVICE_HELD);
	assert_non_null(strstr(boot_said(), "blk has used up its restart rule: it is held"));
	assert_int_equal(watch_kill(boot_service("blk")), ERR_STATE);
	assert_int_equal(watch_restart(boot_service("blk")), ERR_OK); // and again on request
	boot_traced(BLK_RESTART);
	boot_is_ready("blk");
	assert_int_equal(fake_published("block0"), SERVICE_UP);
}

static void test_restart_alternative_image(void **state)
{
	(void)state;
	struct manifest_service s[BOOT_COUNT];
	boot_records(s);
	s[BOOT_FS].burst = 0;
	memcpy(s[BOOT_FS].alternative, "fs-simple", 9);
	boot_whole(s);
	fake_trace[0] = 0;
	fake_crash(fake_find("fs"), FAULT_EXCEPTION, 2);
	boot_event("fs");
	boot_traced("stop:fs unregister:fs restore:fs forget:fs start:fs");
	assert_memory_equal(boot_service("fs")->image, "fs-simple", 9);
	assert_non_null(strstr(boot_said(), "image \"fs-simple\" from now on"));
	boot_is_ready("fs");
	assert_int_equal(watch_restart(boot_service("fs")), ERR_OK); // back to its own image
	boot_traced("stop:fs stop:fs unregister:fs restore:fs forget:fs start:fs");
	assert_memory_equal(boot_service("fs")->image, "fs\0", 3);
}

// The step that put the image in is said to have failed, and comes again.
static void test_restart_alternative_image_twice(void **state)
{
	(void)state;
	struct manifest_service s[BOOT_COUNT];
	boot_records(s);
	s[BOOT_FS].burst = 0;
	memcpy(s[BOOT_FS].alternative, "fs-simple", 9);
	boot_whole(s);
	fake_trace[0] = 0;
	fake_inject_passages = 0;
	fake_inject_at = STEP_RESTORE + 2; // the event is a passage too
	fake_crash(fake_find("fs"), FAULT_EXCEPTION, 2);
	boot_event("fs");
	boot_traced("stop:fs unregister:fs restore:fs forget:fs stop:fs restore:fs start:fs");
	boot_is_ready("fs");
	assert_int_equal(fake_published("fs"), SERVICE_UP);
}

static void test_restart_alternative_image_on_an_old_kernel(void **state)
{
	(void)state;
	struct manifest_service s[BOOT_COUNT];
	boot_records(s);
	s[BOOT_BLK].burst = 0;
	memcpy(s[BOOT_BLK].alternative, "blk-simple", 10);
	boot_whole(s);
	fake_trace[0] = 0;
	fake_old_kernel = true;
	fake_crash(fake_find("blk"), FAULT_EXCEPTION, 2);
	boot_event("blk");
	boot_traced("stop:blk off:disk unregister:blk restore:blk final:blk destroy:blk create:blk attach:blk on:disk "
		    "start:blk");
	boot_is_ready("blk");
	assert_int_equal(fake_published("block0"), SERVICE_UP);
}

static void test_restart_escalates(void **state)
{
	(void)state;
	struct manifest_service s[BOOT_COUNT];
	boot_records(s);
	s[BOOT_FS].burst = 0;
	s[BOOT_FS].then = THEN_ESCALATE;
	boot_whole(s);
	fake_trace[0] = 0;
	fake_crash(fake_find("fs"), FAULT_EXIT, 3);
	boot_event("fs");
	boot_traced("stop:blk " BLK_RESTART " stop:fs unregister:fs restore:fs start:fs");
	assert_int_equal(boot_service("blk")->epoch, 2);
	assert_int_equal(boot_service("fs")->epoch, 2);
}

static void test_restart_on_request_is_not_counted(void **state)
{
	(void)state;
	struct manifest_service s[BOOT_COUNT];
	boot_records(s);
	s[BOOT_BLK].burst = 1;
	boot_whole(s);
	for (unsigned i = 0; i < 1000; i++) {
		assert_int_equal(watch_kill(boot_service("block0")), ERR_OK);
		boot_is_ready("blk");
	}
	assert_int_equal(boot_service("blk")->epoch, 1001);
	assert_int_equal(boot_service("blk")->restarts, 1000);
	assert_int_equal(boot_service("blk")->faults, 0);
	assert_int_equal(watch_kill(boot_service("supervisor")), ERR_DENIED);
}

static void test_restart_after_complaints(void **state)
{
	(void)state;
	boot_default();
	struct fake_domain *fs = fake_find("fs");
	uint64_t who = (uint64_t)fs->core << 32 | fs->index;
	for (unsigned i = 0; i < 2; i++)
		watch_event(EVENT_COMPLAINT, who, 0, COMPLAINT_BAD_COMPLETION);
	assert_int_equal(fs->epoch, 1);
	watch_event(EVENT_COMPLAINT, who, 0, COMPLAINT_BAD_COMPLETION);
	assert_int_equal(fs->epoch, 2);
	assert_int_equal(boot_service("fs")->complaints, 1);
	watch_event(EVENT_COMPLAINT, who, 0, COMPLAINT_NO_ANSWER);
	assert_int_equal(fs->epoch, 3);
	assert_non_null(strstr(boot_said(), "complaint of a client, its completions fit no request"));
	watch_event(EVENT_COMPLAINT, 77, 0, COMPLAINT_NO_ANSWER); // of nobody that we know
}

// Nobody can stop the supervisor but itself; its kernel starts the next one, which answers.
static void test_complaint_about_the_supervisor(void **state)
{
	(void)state;
	boot_default();
	const struct loader_domain *own = &boot_service("supervisor")->domain;
	uint64_t who = (uint64_t)own->core << 32 | own->domain;
	watch_event(EVENT_COMPLAINT, who, 0, COMPLAINT_BAD_COMPLETION); // one is not believed
	assert_null(strstr(fake_trace, "exit:supervisor"));
	watch_event(EVENT_COMPLAINT, who, 0, COMPLAINT_NO_ANSWER);
	assert_non_null(strstr(fake_trace, "exit:supervisor"));
	assert_non_null(strstr(boot_said(), "a client complains about the supervisor"));
}

static void test_restart_device_that_does_not_stop(void **state)
{
	(void)state;
	boot_default();
	fake_trace[0] = 0;
	fake_quiesce_error = ERR_TIMEOUT;
	fake_crash(fake_find("blk"), FAULT_EXCEPTION, 2);
	boot_event("blk");
	assert_null(strstr(fake_trace, "restore")); // its memory may still be written
	assert_null(strstr(fake_trace, "start"));
	assert_int_equal(fake_published("block0"), SERVICE_HELD);
	assert_non_null(strstr(boot_said(), "blk cannot be restarted, step 'quiesce' failed"));
	fake_quiesce_error = ERR_OK;
	assert_int_equal(watch_restart(boot_service("blk")), ERR_OK);
	boot_is_ready("blk");
	assert_int_equal(fake_published("block0"), SERVICE_UP);
}

static void test_restart_core_lost(void **state)
{
	(void)state;
	boot_default();
	fake_lost[2] = true;
	watch_event(EVENT_CORE, 2, 0, 0);
	assert_int_equal(boot_service("fs")->phase, PHASE_LOST);
	assert_int_equal(boot_service("blk")->phase, PHASE_UP);
	assert_non_null(strstr(boot_said(), "core 2 is lost: its kernel panicked"));
	assert_int_equal(watch_restart(boot_service("fs")), ERR_CORE_LOST);
	watch_event(EVENT_CORE, 2, 0, 0); // again: nothing new
	fake_lost[1] = true; // noticed in the middle of a restart
	fake_find("blk")->state = DOMAIN_STOPPED;
	assert_int_equal(watch_kill(boot_service("blk")), ERR_CORE_LOST);
	assert_int_equal(boot_service("blk")->phase, PHASE_LOST);
	assert_non_null(strstr(fake_trace, "reboot:1")); // else it would stay lost if nobody else noticed
}

static void boot_supervisor_dies(void)
{
	fake_restarted = true;
	fake_trace[0] = 0;
	boot_log = crash_log_end();
	services_setup(&boot_image, &boot_machine, fake_cores);
}

static void boot_core_dies(unsigned core)
{
	fake_lost[core] = true;
	watch_event(EVENT_CORE, core, 0, 0);
	fake_trace[0] = 0;
}

static void test_core_is_back(void **state)
{
	(void)state;
	boot_default();
	boot_core_dies(2);
	assert_int_equal(cores_state(2), CORE_PANICKED);
	assert_int_equal(boot_service("fs")->phase, PHASE_LOST);
	fake_reborn(2, true);
	watch_event(EVENT_CORE, 2, 0, 0);
	boot_traced("stop:fs unregister:fs restore:fs start:fs");
	assert_int_equal(cores_reboots(2), 1);
	boot_is_ready("fs");
	assert_int_equal(fake_find("fs")->epoch, 2);
	assert_int_equal(fake_published("fs"), SERVICE_UP);
	assert_int_equal(boot_service("blk")->epoch, 1); // on another core: it saw nothing
	watch_event(EVENT_CORE, 2, 0, 0); // again: nothing new
	boot_traced("");
}

// A job that is not beside us.
static uint32_t job_elsewhere(void)
{
	uint32_t job;
	do
		assert_int_equal(jobs_start(services_app("hello", 5), "", 0, &job), ERR_OK);
	while (job >> 24 == 0);
	return job;
}

// The reborn kernel found the domain in order: it is published and watched again, and nothing else. So is a job; one that was
// stopped ends.
static void test_core_is_back_and_domains_go_on(void **state)
{
	(void)state;
	uint64_t code;
	enum fault_kind kind;
	boot_default();
	uint32_t job = job_elsewhere();
	unsigned core = job >> 24;
	boot_core_dies(2);
	if (core != 2)
		boot_core_dies(core);
	assert_int_equal(jobs_result(job, &code, &kind), JOB_RUNS); // it is not known yet
	fake_lost[2] = fake_lost[core] = false;
	fake_incarnation[2]++;
	fake_incarnation[core] += core != 2;
	watch_event(EVENT_CORE, 2, 0, 0);
	watch_event(EVENT_CORE, core, 0, 0);
	boot_traced("");
	assert_int_equal(boot_service("fs")->phase, PHASE_UP);
	assert_int_equal(boot_service("fs")->epoch, 1);
	assert_int_equal(fake_published("fs"), SERVICE_UP);
	assert_int_equal(jobs_result(job, &code, &kind), JOB_RUNS);
	boot_core_dies(core);
	fake_reborn(core, true);
	watch_event(EVENT_CORE, core, 0, 0);
	assert_int_equal(jobs_result(job, &code, &kind), JOB_ENDED);
	assert_int_equal(kind, FAULT_CORE);
}

// It had ended before its kernel died, and nobody was told.
static void test_core_is_back_and_a_job_had_ended(void **state)
{
	(void)state;
	uint64_t code;
	enum fault_kind kind;
	boot_default();
	uint32_t job = job_elsewhere();
	unsigned core = job >> 24;
	fake_crash(fake_at(core, job >> 16 & 255), FAULT_EXIT, 7);
	boot_core_dies(core);
	fake_lost[core] = false;
	fake_incarnation[core]++;
	watch_event(EVENT_CORE, core, 0, 0);
	assert_int_equal(jobs_result(job, &code, &kind), JOB_ENDED);
	assert_int_equal(kind, FAULT_EXIT);
	assert_int_equal(code, 7);
}

static void test_core_is_back_before_we_looked(void **state)
{
	(void)state;
	boot_default();
	fake_trace[0] = 0;
	fake_reborn(1, true);
	watch_event(EVENT_CORE, 1, 0, 0);
	assert_non_null(strstr(fake_trace, "stop:blk off:disk unregister:blk restore:blk attach:blk on:disk start:blk"));
	boot_is_ready("blk");
	assert_int_equal(fake_find("blk")->epoch, 2);
}

// The records did not check out: made anew from the manifest, once its device has stopped.
static void test_core_is_back_without_records(void **state)
{
	(void)state;
	boot_default();
	boot_core_dies(1);
	fake_reborn(1, false);
	watch_event(EVENT_CORE, 1, 0, 0);
	assert_non_null(strstr(fake_trace, "off:disk create:blk attach:blk"));
	assert_non_null(strstr(fake_trace, "stop:fs")); // it has lost its channel to the disk
	boot_is_ready("blk");
	assert_int_equal(fake_published("block0"), SERVICE_UP);
}

// Who does not answer is waited for, but for all of them at once.
static void test_many_cores_are_silent(void **state)
{
	(void)state;
	boot_default();
	fake_trace[0] = 0;
	fake_waits = 0;
	for (unsigned core = 1; core < FAKE_CORES; core++)
		fake_lost[core] = fake_silent[core] = true;
	for (unsigned i = 0; i < CORES_MISSED; i++)
		fake_advance_ms(CORES_PING_MS + 1);
	assert_int_equal(fake_waits, CORES_MISSED);
	for (unsigned core = 1; core < FAKE_CORES; core++)
		assert_int_equal(cores_reboots(core) + !cores_usable(core), 1);
	assert_non_null(strstr(fake_trace, "reboot:1 reboot:2 reboot:3"));
}

// A hung kernel: found by a ping, its hart waited for, and then fenced off.
static void test_core_is_silent(void **state)
{
	(void)state;
	boot_default();
	fake_trace[0] = 0;
	fake_lost[2] = fake_silent[2] = true;
	for (unsigned i = 1; i < CORES_MISSED; i++)
		fake_advance_ms(CORES_PING_MS + 1); // it may be late
	boot_traced("");
	assert_int_equal(boot_service("fs")->phase, PHASE_UP);
	fake_advance_ms(CORES_PING_MS + 1);
	boot_traced("reboot:2");
	assert_int_equal(boot_service("fs")->phase, PHASE_LOST);
	fake_advance_ms(CORES_PING_MS + 1); // asked once
	boot_traced("");
	fake_fenced[2] = true;
	watch_event(EVENT_CORE, 2, 0, 0);
	assert_int_equal(cores_state(2), CORE_LOST);
	assert_non_null(strstr(boot_said(), "core 2 is fenced off"));
	assert_int_equal(fake_published("fs"), SERVICE_HELD); // under another name than the dead core's: clients are told
	fake_fenced[2] = false; // its hart has stopped after all
	fake_trace[0] = 0;
	fake_advance_ms(CORES_PING_MS + 1);
	boot_traced("reboot:2");
	fake_reborn(2, true);
	watch_event(EVENT_CORE, 2, 0, 0);
	assert_int_equal(cores_state(2), CORE_ONLINE);
	services_advance();
	boot_is_ready("fs");
	assert_int_equal(fake_published("fs"), SERVICE_UP);
}

// It was late only: our kernel asks it, and it answers. Nothing is done to it, and what a lost call left undone is taken up again.
static void test_core_answers_our_kernel(void **state)
{
	(void)state;
	boot_default();
	fake_trace[0] = 0;
	fake_lost[2] = fake_silent[2] = fake_deaf_to_us = true;
	for (unsigned i = 0; i < CORES_MISSED; i++)
		fake_advance_ms(CORES_PING_MS + 1);
	boot_traced("reboot:2");
	assert_int_equal(boot_service("fs")->phase, PHASE_UP);
	assert_int_equal(cores_state(2), CORE_ONLINE);
	watch_event(EVENT_CORE, 2, 0, 0); // a look at it finds nobody either
	assert_int_equal(boot_service("fs")->phase, PHASE_LOST);
	fake_lost[2] = false;
	fake_advance_ms(CORES_PING_MS + 1);
	assert_int_equal(boot_service("fs")->phase, PHASE_UP);
	assert_int_equal(boot_service("fs")->epoch, 1);
	assert_int_equal(fake_published("fs"), SERVICE_UP);
	fake_crash(fake_find("fs"), FAULT_EXCEPTION, 2);
	fake_lost[2] = true;
	watch_event(EVENT_DOMAIN, 2, boot_service("fs")->domain.domain, 0); // its status cannot be had
	assert_int_equal(boot_service("fs")->phase, PHASE_LOST);
	fake_lost[2] = false;
	fake_trace[0] = 0;
	fake_advance_ms(CORES_PING_MS + 1);
	boot_traced("stop:fs unregister:fs restore:fs start:fs");
}

// What may still drive a device is not started elsewhere, whoever asks; when the core has stopped after all, the device is reset first.
static void test_core_is_silent_with_a_device(void **state)
{
	(void)state;
	boot_default();
	fake_lost[1] = fake_silent[1] = fake_fenced[1] = true;
	watch_event(EVENT_CORE, 1, 0, 0);
	assert_int_equal(boot_service("blk")->phase, PHASE_HELD);
	watch_restart(boot_service("blk"));
	assert_int_equal(boot_service("blk")->phase, PHASE_HELD);
	assert_non_null(strstr(boot_said(), "blk is held: a core that is fenced off may still drive its device"));
	fake_trace[0] = 0;
	fake_reborn(1, true);
	watch_event(EVENT_CORE, 1, 0, 0);
	services_advance();
	assert_memory_equal(fake_trace, "off:disk ", 9);
	assert_non_null(strstr(fake_trace, "destroy:blk"));
	assert_non_null(strstr(fake_trace, "create:blk"));
	assert_non_null(strstr(fake_trace, "attach:blk on:disk start:blk"));
}

// Core 2 is fenced off and core 1 too, when another core takes the supervisor over: what stood there is made anew, but not what
// a device belongs to.
static void test_moved(void **state)
{
	(void)state;
	boot_default();
	fake_lost[1] = fake_silent[1] = fake_fenced[1] = true;
	fake_lost[2] = fake_silent[2] = fake_fenced[2] = true;
	boot_supervisor_dies();
	cores_begin();
	assert_int_equal(cores_state(1), CORE_LOST);
	assert_false(cores_usable(2));
	boot_traced("");
	services_advance();
	assert_int_equal(boot_service("blk")->phase, PHASE_HELD);
	assert_int_equal(fake_published("block0"), SERVICE_HELD);
	assert_non_null(strstr(boot_said(), "blk is held: a core that is fenced off may still drive its device"));
	assert_non_null(strstr(fake_trace, "create:fs"));
	assert_true(boot_service("fs")->domain.core != 2 && boot_service("fs")->domain.core != 1);
	assert_non_null(strstr(fake_trace, "start:shell")); // it had channels to fs
	assert_null(strstr(fake_trace, "blk"));
}

// A core that is coming back is waited for: its services are not made anew, but adopted when it is there.
static void test_restarted_waits_for_cores(void **state)
{
	(void)state;
	struct manifest_service s[BOOT_COUNT];
	boot_records(s);
	for (unsigned silent = 0; silent < 2; silent++) { // or it says ONLINE, a moment before it is known to be dead
		fake_reset();
		boot_whole(s);
		fake_lost[2] = true;
		fake_silent[2] = silent;
		boot_supervisor_dies();
		cores_begin();
		assert_false(cores_settled());
		assert_false(cores_usable(2));
		watch_event(EVENT_CORE, 2, 0, 0);
		watch_event(EVENT_COMPLAINT, 0, 0, COMPLAINT_NO_ANSWER); // about ourselves: nobody is served before it is back
		services_advance();
		fake_advance_ms(CORES_PING_MS + 1);
		assert_null(strstr(fake_trace, "create"));
		assert_null(strstr(fake_trace, "exit"));
		fake_trace[0] = 0;
		fake_reborn(2, true);
		watch_event(EVENT_CORE, 2, 0, 0);
		services_advance();
		assert_true(cores_settled());
		boot_traced("stop:fs unregister:fs restore:fs start:fs");
		boot_is_ready("fs");
		assert_int_equal(boot_service("fs")->epoch, 2);
		assert_int_equal(fake_published("fs"), SERVICE_UP);
	}
}

// Its record was lost with the kernel: nobody but those who use it could tell that it was there before.
static void test_restarted_and_a_record_is_lost(void **state)
{
	(void)state;
	boot_default();
	fake_lost[1] = true;
	boot_supervisor_dies();
	cores_begin();
	fake_reborn(1, false);
	watch_event(EVENT_CORE, 1, 0, 0);
	services_advance();
	assert_non_null(strstr(fake_trace, "create:blk"));
	assert_non_null(strstr(fake_trace, "attach:blk"));
	assert_non_null(strstr(fake_trace, "stop:fs"));
	boot_is_ready("blk");
	boot_is_ready("fs");
	assert_int_equal(fake_published("fs"), SERVICE_UP);
}

// Whoever is placed beside another is where that one is, whichever of the two the manifest names first, over a chain too.
static void test_placed_beside(void **state)
{
	(void)state;
	struct manifest_service s[BOOT_COUNT];
	boot_records(s);
	s[BOOT_BLK].core = CORE_ANY;
	s[BOOT_BLK].beside = BOOT_FS + 1;
	s[BOOT_SHELL].beside = BOOT_BLK + 1;
	s[BOOT_FS].core = 6;
	boot_whole(s);
	assert_int_equal(fake_find("fs")->core, 2);
	assert_int_equal(fake_find("blk")->core, 2); // it started first
	assert_int_equal(fake_find("shell")->core, 2);
}

// It dies between two calls of the adoption: what was adopted is restarted, the rest is adopted then, and nothing is destroyed.
static void test_core_dies_while_it_is_adopted(void **state)
{
	(void)state;
	struct manifest_service s[BOOT_COUNT];
	boot_records(s);
	unsigned calls;
	s[BOOT_CONSOLE].core = 0;
	s[BOOT_BLK].core = s[BOOT_FS].core = 1;
	for (calls = 0;; calls++) {
		fake_reset();
		boot_whole(s);
		boot_supervisor_dies();
		fake_lose_core = 1;
		fake_lose_after = calls;
		cores_begin();
		if (!fake_lost[1])
			break;
		fake_trace[0] = 0;
		watch_event(EVENT_CORE, 1, 0, 0);
		services_advance();
		assert_null(strstr(fake_trace, "create"));
		fake_reborn(1, true);
		watch_event(EVENT_CORE, 1, 0, 0);
		services_advance();
		boot_is_ready("blk");
		boot_is_ready("fs");
		assert_null(strstr(fake_trace, "create"));
		assert_null(strstr(fake_trace, "destroy"));
		assert_true(services_settled());
	}
	assert_true(calls > 6);
}

// What a core that dies in its rebirth held is not known. What has a device stays where it was, the rest starts elsewhere.
static void test_restarted_and_a_core_is_fenced_off(void **state)
{
	(void)state;
	struct manifest_service s[BOOT_COUNT];
	boot_records(s);
	s[BOOT_CONSOLE].core = s[BOOT_SHELL].core = 0;
	boot_whole(s);
	fake_lost[1] = fake_starting[1] = true;
	fake_lost[3] = fake_silent[3] = fake_fenced[3] = true; // nothing stands there, so that only a ping tells
	boot_supervisor_dies();
	cores_begin();
	assert_int_equal(cores_state(3), CORE_LOST);
	services_advance();
	boot_traced("");
	fake_fenced[1] = true;
	watch_event(EVENT_CORE, 1, 0, 0);
	services_advance();
	assert_true(cores_settled());
	assert_null(strstr(fake_trace, "blk"));
	assert_int_equal(boot_service("blk")->phase, PHASE_HELD);
	assert_non_null(strstr(boot_said(), "blk is held: a core that is fenced off may still drive its device"));
}

static void boot_core_returns(void)
{
	fake_reborn(2, true);
	watch_event(EVENT_CORE, 2, 0, 0);
}

static void boot_time_passes(void)
{
	fake_advance_ms(CORES_RETURN_MS + CORES_PING_MS);
}

// Nobody is served before all cores are known, or given up: an event ends the wait, or the clock of the pings.
static void test_restarted_serves_when_cores_are_known(void **state)
{
	(void)state;
	struct manifest_service s[BOOT_COUNT];
	boot_records(s);
	for (unsigned never = 0; never < 2; never++) {
		fake_reset();
		boot_whole(s);
		fake_lost[2] = true;
		boot_supervisor_dies();
		cores_begin();
		fake_while_parked = never ? boot_time_passes : boot_core_returns;
		cores_await();
		assert_int_equal(cores_usable(2), !never);
	}
}

// The kernels never say what became of it.
static void test_restarted_does_not_wait_for_ever(void **state)
{
	(void)state;
	boot_default();
	fake_lost[2] = true;
	boot_supervisor_dies();
	cores_begin();
	services_advance();
	boot_traced("");
	fake_now += (CORES_RETURN_MS + 1) * 1000ull * FAKE_TICKS_PER_US;
	fake_advance_ms(CORES_PING_MS + 1);
	assert_non_null(strstr(fake_trace, "create:fs"));
}

// A fault between any two steps: an error after each passage, one after the other, until none is left to fail.
static void test_restart_each_step_repeated(void **state)
{
	(void)state;
	struct manifest_service s[BOOT_COUNT];
	unsigned at, failed = 0;
	boot_records(s);
	for (at = 1;; at++) {
		fake_reset();
		boot_whole(s);
		fake_trace[0] = 0;
		fake_inject_passages = 0;
		fake_inject_at = at;
		fake_crash(fake_find("blk"), FAULT_EXCEPTION, 2);
		boot_event("blk");
		assert_int_equal(boot_service("blk")->phase, PHASE_STARTING);
		boot_is_ready("blk");
		assert_int_equal(fake_published("block0"), SERVICE_UP);
		assert_int_equal(fake_find("blk")->ready, true);
		if (fake_inject_passages < at)
			break;
		failed++;
	}
	assert_true(failed >= 7); // all steps, and the events
}

// A step that fails for good ends in a hold, whichever it is.
static void test_restart_each_step_failing(void **state)
{
	(void)state;
	static const enum call calls[] = {CALL_domain_stop, CALL_domain_unregister, CALL_domain_restore, CALL_domain_start,
					  CALL_domain_watch};
	struct manifest_service s[BOOT_COUNT];
	boot_records(s);
	for (unsigned i = 0; i < sizeof calls / sizeof calls[0]; i++) {
		fake_reset();
		boot_whole(s);
		fake_fail_call = calls[i];
		fake_fail_error = ERR_NO_MEMORY;
		fake_fail_count = RESTART_TRIES;
		fake_crash(fake_find("fs"), FAULT_EXCEPTION, 2);
		boot_event("fs");
		assert_int_equal(fake_published("fs"), SERVICE_HELD);
		assert_int_equal(boot_service("fs")->phase, PHASE_HELD);
		fake_fail_count = 0;
		assert_int_equal(watch_restart(boot_service("fs")), ERR_OK);
		boot_is_ready("fs");
		assert_int_equal(fake_published("fs"), SERVICE_UP);
	}
}

// Pings begin with ready; who never gets there is found by the clock, which stands while something below is not up.
static void test_restart_hang_in_start(void **state)
{
	(void)state;
	struct manifest_service s[BOOT_COUNT];
	boot_records(s);
	boot_begin(s);
	services_advance();
	boot_is_ready("blk");
	boot_is_ready("console");
	fake_advance_ms(WATCH_START_MS - 1);
	assert_int_equal(fake_find("fs")->epoch, 1);
	fake_crash(fake_find("blk"), FAULT_EXCEPTION, 2);
	boot_event("blk");
	fake_advance_ms(2); // blk is not up: fs may wait
	assert_int_equal(fake_find("fs")->epoch, 1);
	boot_is_ready("blk");
	fake_advance_ms(WATCH_START_MS + 1);
	assert_int_equal(fake_find("fs")->epoch, 2);
	assert_int_equal(boot_service("fs")->hangs, 1);
	boot_is_ready("fs");
	fake_advance_ms(10 * WATCH_START_MS);
	assert_int_equal(fake_find("fs")->epoch, 2);
	assert_int_equal(boot_service("fs")->phase, PHASE_UP);
}

static void test_restart_again_while_starting(void **state)
{
	(void)state;
	boot_default();
	fake_crash(fake_find("fs"), FAULT_EXCEPTION, 2);
	boot_event("fs");
	fake_crash(fake_find("fs"), FAULT_HANG, 0);
	boot_event("fs");
	boot_is_ready("fs");
	assert_int_equal(boot_service("fs")->epoch, 3);
	assert_int_equal(boot_service("fs")->hangs, 1);
}

// ---- the supervisor itself dies: a fresh one adopts, whatever the old one was doing

static void test_adopt_running(void **state)
{
	(void)state;
	uint32_t job;
	boot_default();
	assert_int_equal(jobs_start(services_app("hello", 5), "a b", 3, &job), ERR_OK);
	boot_supervisor_dies();
	cores_begin();
	assert_int_equal(services_count_adopted(), 5);
	services_advance();
	boot_traced("");
	assert_true(services_settled());
	assert_int_equal(boot_service("fs")->phase, PHASE_UP);
	uint64_t code;
	enum fault_kind kind;
	assert_int_equal(jobs_result(job, &code, &kind), JOB_RUNS);
	fake_crash(fake_find("hello"), FAULT_EXIT, 5);
	boot_event("hello");
	assert_int_equal(jobs_result(job, &code, &kind), JOB_ENDED);
	assert_int_equal(code, 5);
}

// It died after the first n steps of a restart: the domain is found stopped, and all steps are done again.
static void test_adopt_in_the_middle_of_a_restart(void **state)
{
	(void)state;
	static const char *const steps[] = {"stop", "quiesce", "unregister", "restore", "device"};
	struct manifest_service s[BOOT_COUNT];
	boot_records(s);
	for (unsigned done = 0; done <= sizeof steps / sizeof steps[0]; done++) {
		fake_reset();
		boot_whole(s);
		struct fake_domain *blk = fake_find("blk");
		fake_crash(blk, FAULT_EXCEPTION, 2);
		fake_device_on = done != 2 && done != 3 && done != 4;
		blk->mapped = done < 3;
		blk->clean = done >= 4;
		boot_supervisor_dies();
		cores_begin();
		services_advance();
		boot_traced("stop:blk off:disk unregister:blk restore:blk attach:blk on:disk start:blk");
		boot_is_ready("blk");
		assert_int_equal(boot_service("blk")->epoch, 2);
	}
}

static void test_adopt_half_made(void **state)
{
	(void)state;
	struct manifest_service s[BOOT_COUNT];
	boot_records(s);
	boot_begin(s);
	services_advance();
	boot_is_ready("console");
	fake_find("blk")->state = DOMAIN_CREATED; // created, not started
	fake_find("blk")->epoch = 0;
	boot_supervisor_dies();
	cores_begin();
	assert_int_equal(services_count_adopted(), 1);
	services_advance();
	boot_traced("destroy:blk create:blk attach:blk on:disk start:blk");
	boot_is_ready("blk");
	boot_is_ready("fs");
	assert_true(services_settled());
}

// It had run, and another image was going in: it keeps its channels, and gets its own image.
static void test_adopt_half_replaced(void **state)
{
	(void)state;
	boot_default();
	struct fake_domain *fs = fake_find("fs");
	fs->state = DOMAIN_CREATED;
	fs->loaded = fs->ready = fs->mapped = false;
	boot_supervisor_dies();
	cores_begin();
	services_advance();
	boot_traced("stop:fs unregister:fs restore:fs forget:fs start:fs");
	boot_is_ready("fs");
	assert_int_equal(boot_service("fs")->epoch, 2);
	assert_int_equal(fake_published("fs"), SERVICE_UP);
	assert_false(fs->told_final);
}

// An app of the start runs once, whether it still runs when the supervisor dies or not; a service is there always.
static void test_adopt_does_not_start_apps_again(void **state)
{
	(void)state;
	struct manifest_service s[BOOT_COUNT];
	boot_records(s);
	s[BOOT_HELLO].flags |= SERVICE_FLAG_AUTOSTART;
	boot_whole(s);
	assert_non_null(strstr(fake_trace, "start:hello"));
	boot_supervisor_dies();
	cores_begin();
	services_advance();
	boot_traced("");
	assert_true(services_settled());
	fake_crash(fake_find("hello"), FAULT_EXIT, 0);
	boot_event("hello");
	assert_null(fake_find("hello"));
	boot_supervisor_dies();
	cores_begin();
	services_advance();
	boot_traced("");
}

// ---- jobs

// ---- audit

static jmp_buf audit_end;
static const char *audit_claim;

_Noreturn void domain_panic(const char *file, int line, const char *claim)
{
	(void)file, (void)line;
	audit_claim = claim;
	longjmp(audit_end, 1);
}

// So many looks, a second apart. How many it survives.
static unsigned audited(unsigned looks, uint64_t apart_ms)
{
	static unsigned n;
	audit_claim = "";
	if (setjmp(audit_end))
		return n;
	for (n = 0; n < looks; n++) {
		fake_advance_ms(apart_ms);
		audit_self();
	}
	return looks;
}

static void test_audit_finds_nothing_in_a_sound_one(void **state)
{
	(void)state;
	uint32_t job;
	boot_default();
	assert_int_equal(audited(10, 1000), 10);
	assert_int_equal(jobs_start(services_app("hello", 5), "", 0, &job), ERR_OK);
	assert_int_equal(audited(10, 1000), 10);
	for (unsigned i = 0; i < 30; i++) { // until it is held
		if (fake_find("blk")->state == DOMAIN_RUNNING)
			fake_crash(fake_find("blk"), FAULT_EXCEPTION, 2);
		assert_int_equal(audited(1, 1000), 1);
		boot_event("blk");
		assert_int_equal(audited(1, 1000), 1);
	}
	fake_lost[2] = true;
	cores_event(2);
	assert_int_equal(audited(10, 1000), 10);
	fake_reborn(2, false);
	cores_event(2);
	assert_int_equal(audited(10, 1000), 10);
}

static void test_audit_finds_what_is_overlooked(void **state)
{
	(void)state;
	uint32_t job;
	boot_default();
	fake_crash(fake_find("fs"), FAULT_EXCEPTION, 2);
	assert_int_equal(audited(2, 1000), 2); // it may be late
	boot_event("fs");
	assert_int_equal(audited(10, 1000), 10);
	boot_is_ready("fs");
	assert_int_equal(jobs_start(services_app("hello", 5), "", 0, &job), ERR_OK);
	fake_crash(fake_find("hello"), FAULT_EXIT, 0);
	assert_int_equal(audited(10, 1000), 2);
	assert_string_equal(audit_claim, "s->overlooked < AUDIT_LOOKS");
}

static void test_audit_finds_that_no_timer_runs(void **state)
{
	(void)state;
	boot_default();
	assert_int_equal(audited(2, 1000), 2);
	assert_int_equal(audited(10, 0), 2);
	assert_string_equal(audit_claim, "audit.untimely < AUDIT_LOOKS");
}

// An entry of the table that is not found any more, by what was overwritten.
static void test_audit_finds_a_damaged_table(void **state)
{
	(void)state;
	boot_default();
	struct service *fs = boot_service("fs"), was = *fs;
	fs->record = boot_service("blk")->record;
	assert_int_equal(audited(2, 1000), 0);
	*fs = was;
	assert_int_equal(audited(2, 1000), 2);
}

static void test_jobs(void **state)
{
	(void)state;
	uint32_t first, second, third;
	uint64_t code;
	enum fault_kind kind;
	boot_default();
	const struct manifest_service *hello = services_app("hello", 5);
	assert_null(services_app("fs", 2));
	assert_int_equal(jobs_start(hello, "one", 3, &first), ERR_OK);
	fake_crash(fake_find("hello"), FAULT_EXIT, 0);
	boot_event("hello");
	assert_null(fake_find("hello"));
	assert_int_equal(jobs_result(first, &code, &kind), JOB_ENDED);
	assert_true(code == 0 && kind == FAULT_EXIT);
	assert_int_equal(strlen(boot_said()), 0); // an exit is no crash
	assert_int_equal(jobs_start(hello, "", 0, &second), ERR_OK);
	fake_crash(fake_find("hello"), FAULT_EXCEPTION, 2);
	boot_event("hello");
	assert_int_equal(jobs_result(second, &code, &kind), JOB_ENDED);
	assert_int_equal(kind, FAULT_EXCEPTION);
	assert_non_null(strstr(boot_said(), "hello (core"));
	assert_int_equal(jobs_start(hello, "", 0, &third), ERR_OK);
	assert_int_equal(jobs_result(third, &code, &kind), JOB_RUNS);
	assert_int_equal(jobs_stop(third), ERR_OK);
	assert_int_equal(jobs_stop(third), ERR_NOT_FOUND);
	assert_int_equal(jobs_result(third, &code, &kind), JOB_ENDED);
	assert_int_equal(kind, FAULT_KILLED);
	assert_int_equal(jobs_result(999, &code, &kind), JOB_UNKNOWN);
}

static void test_jobs_spread_and_end(void **state)
{
	(void)state;
	uint32_t job, count[FAKE_CORES] = {0};
	boot_default();
	const struct manifest_service *hello = services_app("hello", 5);
	for (unsigned i = 0; i < 40; i++) {
		assert_int_equal(jobs_start(hello, "", 0, &job), ERR_OK);
		count[job >> 24]++;
	}
	for (unsigned core = 0; core < FAKE_CORES; core++)
		assert_true(count[core] >= 9 && count[core] <= 11);
	for (unsigned i = 40; i < JOB_MAX && jobs_start(hello, "", 0, &job) == ERR_OK; i++)
		;
	assert_int_not_equal(jobs_start(hello, "", 0, &job), ERR_OK); // full, and says so
	while (fake_find("hello")) {
		fake_crash(fake_find("hello"), FAULT_EXIT, 0);
		boot_event("hello");
	}
	assert_int_equal(jobs_start(hello, "", 0, &job), ERR_OK);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_boot_in_order, boot_setup),
		cmocka_unit_test_setup(test_boot_without_disk, boot_setup),
		cmocka_unit_test_setup(test_boot_without_a_mates_disk, boot_setup),
		cmocka_unit_test_setup(test_boot_without_uart, boot_setup),
		cmocka_unit_test_setup(test_boot_missing_image, boot_setup),
		cmocka_unit_test_setup(test_boot_with_a_circle, boot_setup),
		cmocka_unit_test_setup(test_boot_no_memory, boot_setup),
		cmocka_unit_test_setup(test_restart_after_crash, boot_setup),
		cmocka_unit_test_setup(test_restart_after_assertion, boot_setup),
		cmocka_unit_test_setup(test_restart_times, boot_setup),
		cmocka_unit_test_setup(test_restart_rule_to_hold, boot_setup),
		cmocka_unit_test_setup(test_restart_alternative_image, boot_setup),
		cmocka_unit_test_setup(test_restart_alternative_image_twice, boot_setup),
		cmocka_unit_test_setup(test_restart_alternative_image_on_an_old_kernel, boot_setup),
		cmocka_unit_test_setup(test_restart_escalates, boot_setup),
		cmocka_unit_test_setup(test_restart_on_request_is_not_counted, boot_setup),
		cmocka_unit_test_setup(test_restart_after_complaints, boot_setup),
		cmocka_unit_test_setup(test_complaint_about_the_supervisor, boot_setup),
		cmocka_unit_test_setup(test_restart_device_that_does_not_stop, boot_setup),
		cmocka_unit_test_setup(test_restart_core_lost, boot_setup),
		cmocka_unit_test_setup(test_core_is_back, boot_setup),
		cmocka_unit_test_setup(test_core_is_back_and_domains_go_on, boot_setup),
		cmocka_unit_test_setup(test_core_is_back_and_a_job_had_ended, boot_setup),
		cmocka_unit_test_setup(test_core_is_back_before_we_looked, boot_setup),
		cmocka_unit_test_setup(test_core_is_back_without_records, boot_setup),
		cmocka_unit_test_setup(test_many_cores_are_silent, boot_setup),
		cmocka_unit_test_setup(test_core_is_silent, boot_setup),
		cmocka_unit_test_setup(test_core_is_silent_with_a_device, boot_setup),
		cmocka_unit_test_setup(test_core_answers_our_kernel, boot_setup),
		cmocka_unit_test_setup(test_moved, boot_setup),
		cmocka_unit_test_setup(test_restarted_waits_for_cores, boot_setup),
		cmocka_unit_test_setup(test_restarted_and_a_record_is_lost, boot_setup),
		cmocka_unit_test_setup(test_core_dies_while_it_is_adopted, boot_setup),
		cmocka_unit_test_setup(test_restarted_and_a_core_is_fenced_off, boot_setup),
		cmocka_unit_test_setup(test_restarted_does_not_wait_for_ever, boot_setup),
		cmocka_unit_test_setup(test_restart_each_step_repeated, boot_setup),
		cmocka_unit_test_setup(test_restart_each_step_failing, boot_setup),
		cmocka_unit_test_setup(test_restart_hang_in_start, boot_setup),
		cmocka_unit_test_setup(test_restart_again_while_starting, boot_setup),
		cmocka_unit_test_setup(test_adopt_running, boot_setup),
		cmocka_unit_test_setup(test_adopt_in_the_middle_of_a_restart, boot_setup),
		cmocka_unit_test_setup(test_restarted_serves_when_cores_are_known, boot_setup),
		cmocka_unit_test_setup(test_adopt_half_made, boot_setup),
		cmocka_unit_test_setup(test_adopt_half_replaced, boot_setup),
		cmocka_unit_test_setup(test_adopt_does_not_start_apps_again, boot_setup),
		cmocka_unit_test_setup(test_placed_beside, boot_setup),
		cmocka_unit_test_setup(test_jobs, boot_setup),
		cmocka_unit_test_setup(test_audit_finds_nothing_in_a_sound_one, boot_setup),
		cmocka_unit_test_setup(test_audit_finds_what_is_overlooked, boot_setup),
		cmocka_unit_test_setup(test_audit_finds_that_no_timer_runs, boot_setup),
		cmocka_unit_test_setup(test_audit_finds_a_damaged_table, boot_setup),
		cmocka_unit_test_setup(test_jobs_spread_and_end, boot_setup),
	};
	int failed = cmocka_run_group_tests(tests, 0, 0);
	build_free(&boot_build);
	return failed;
}
