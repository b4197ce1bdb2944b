// The supervisor: starts the services of the manifest, and makes those that die live again.
//
// Owns the authority over all cores (the kernel gave it to the first domain). It must never wait for a service that it
// supervises (INV-42): everything happens on the loop, by events and requests, and calls wait for kernels only, which answer
// or are declared lost within CALL_DEADLINE_MS. If it dies, services run on; its core's kernel notices, restores it
// and starts it again, and it adopts the running domains from the kernels' records (services_adopt). Its state is the table
// in services.c, rebuilt at such a start.
#include "abi/event.h"
#include "runtime/fiber.h"
#include "runtime/loop.h"
#include "runtime/runtime.h"
#include "runtime/server.h"
#include "supervisor/audit.h"
#include "supervisor/banner.h"
#include "supervisor/cores.h"
#include "supervisor/image.h"
#include "supervisor/kernel_log.h"
#include "supervisor/machine.h"
#include "supervisor/pci.h"
#include "supervisor/print.h"
#include "supervisor/requests.h"
#include "supervisor/services.h"
#include "supervisor/watch.h"

// ms without a pong until our own kernel takes us for hung. Twice the deadline of a call: to wait for a core that dies is
// no hang.
#define SUPERVISOR_HANG_MS (2 * CALL_DEADLINE_MS)

static struct {
	struct image image;
	struct machine machine;
	bool banner_said;
} supervisor;

// Nothing can run: one sentence, and off with an exit code that a script sees.
static _Noreturn void supervisor_give_up(const char *sentence)
{
	log_line("supervisor: %s: nothing can be started", sentence);
	kcall(CALL_power, 0, 1, CALL_EARNEST);
	domain_exit(1);
}

static void supervisor_open_image(void)
{
	char why[CRASH_LINE_MAX];
	struct kernel_result map = kcall(CALL_boot_image_map);
	if (map.error)
		supervisor_give_up("the boot image cannot be mapped");
	if (image_open(&supervisor.image, (const void *)map.value[0], map.value[1], why, sizeof why))
		supervisor_give_up(why);
	if (!self_restarted() && !image_is_whole(&supervisor.image))
		say("supervisor: the boot image's checksum is wrong: it is damaged; what still checks out is started");
}

// Without a device tree, or without PCI, the services that need devices are held; the rest runs.
static void supervisor_find_machine(void)
{
	struct kernel_result map = kcall(CALL_device_tree_map);
	if (map.error || machine_read((const void *)map.value[0], map.value[1], &supervisor.machine)) {
		say("supervisor: there is no usable device tree, so no devices");
		return;
	}
	machine_iommu_open(&supervisor.machine);
	enum error error = pci_enumerate(&supervisor.machine.pci);
	if (error)
		say("supervisor: there is no PCI bus to be used (error %u)", error);
}

static unsigned supervisor_count_cores(void)
{
	static struct info_page page;
	if (!info_read(self_core(), &page) || page.core_count == 0)
		return 1;
	return page.core_count < CORE_MAX ? page.core_count : CORE_MAX;
}

static bool supervisor_console_is_up(void)
{
	const struct service *console = services_by_name("console", 7);
	return console && console->phase == PHASE_UP;
}

// What follows from a change of any phase.
static void supervisor_settle(void)
{
	services_advance();
	if (supervisor_console_is_up()) {
		kernel_log_begin(services_cores());
		print_console_up(true);
	}
	if (!supervisor.banner_said && services_settled()) {
		supervisor.banner_said = true;
		banner_say();
	}
	requests_answer_waiters();
	print_pump();
}

static void supervisor_event(unsigned kind, uint64_t a, uint64_t b, uint64_t c)
{
	watch_event(kind, a, b, c);
	kernel_log_pull((unsigned)(kind == EVENT_COMPLAINT ? a >> 32 : a));
	supervisor_settle();
}

static struct service *supervisor_own_entry(void)
{
	struct service *s;
	for (unsigned i = 0; (s = services_at(i)) != 0; i++) {
		if (s->record && (s->record->flags & SERVICE_FLAG_FIRST))
			return s;
	}
	return 0; // cannot be: manifest_read wants exactly one
}

int program_main(void)
{
	uint64_t started = time_now();
	supervisor_open_image();
	supervisor_find_machine();
	services_setup(&supervisor.image, &supervisor.machine, supervisor_count_cores());
	struct service *own = supervisor_own_entry();
	services_set_up(own);
	kcall(CALL_domain_watch, own->domain.handle, SUPERVISOR_HANG_MS * 1000 / WATCH_TICKS, WATCH_TICKS);
	cores_begin();
	if (self_restarted()) {
		supervisor.banner_said = true;
		watch_tell_own(own, started);
		say("supervisor: %u domains adopted", services_count_adopted());
	}
	loop_on_event(supervisor_event); // not before: an event of a domain that is not adopted yet would be dropped
	for (unsigned core = 0; core < services_cores(); core++)
		cores_event(core); // what came meanwhile was heard by nobody
	supervisor_settle();
	loop_pinged = audit_self;
	cores_await(); // whoever asks about a job there would be told that there is none
	return (int)server_run(&requests_server);
}
