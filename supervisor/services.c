// Services: started in dependency order by events, published by name.
//
// Owns the table. It must never wait for a service: services_advance starts what can be started and returns; the next
// event calls it again. Right because a service leaves PHASE_WAITING only when all that it uses are up or certain not to
// come (held, lost, not to be started), and each such change calls services_advance. If the supervisor dies, the
// table is lost; the next incarnation rebuilds it from the manifest and the kernels' records (services_adopt), histories
// of restarts and arguments of jobs excepted.
#include "supervisor/services.h"
#include "runtime/error_text.h"
#include "runtime/runtime.h"
#include "supervisor/cores.h"
#include "supervisor/jobs.h"
#include "supervisor/restart.h"
#include "supervisor/watch.h"
#include <string.h>

#define SERVICES_MAX (MANIFEST_SERVICE_MAX + JOB_MAX)
#define SERVICES_WHY 256
#define SERVICES_ROUND 16u // loaded at once

static struct {
	struct service entry[SERVICES_MAX];
	unsigned char order[MANIFEST_SERVICE_MAX];
	unsigned count; // services of the manifest; jobs follow
	unsigned cores;
	const struct image *image;
	const struct machine *machine;
	uint64_t self; // handle of the supervisor's own domain, 0: none
} services;

unsigned services_cores(void)
{
	return services.cores;
}

const struct image *services_image(void)
{
	return services.image;
}

const struct machine *services_machine(void)
{
	return services.machine;
}

uint64_t services_now_ms(void)
{
	return time_us_from_ticks(time_now()) / 1000;
}

struct service *services_at(unsigned index)
{
	return index < services.count + JOB_MAX ? &services.entry[index] : 0;
}

struct service *services_of_domain(unsigned core, unsigned domain)
{
	for (unsigned i = 0; i < services.count + JOB_MAX; i++) {
		struct service *s = &services.entry[i];
		if (s->record && s->domain.handle && s->domain.core == core && s->domain.domain == domain)
			return s;
	}
	return 0;
}

struct service *services_by_name(const char *text, size_t length)
{
	char name[NAME_SIZE];
	if (!manifest_name(name, text, length))
		return 0;
	int i = manifest_find(&services.image->manifest, name);
	if (i < 0)
		i = manifest_provider(&services.image->manifest, name);
	return i < 0 ? 0 : &services.entry[i];
}

const struct manifest_service *services_app(const char *text, size_t length)
{
	char name[NAME_SIZE];
	if (!manifest_name(name, text, length))
		return 0;
	int i = manifest_find(&services.image->manifest, name);
	if (i < 0 || !(services.image->manifest.services[i].flags & SERVICE_FLAG_APP))
		return 0;
	return &services.image->manifest.services[i];
}

struct service *services_free_job(void)
{
	for (unsigned i = services.count; i < services.count + JOB_MAX; i++) {
		if (!services.entry[i].record)
			return &services.entry[i];
	}
	return 0;
}

// ---- table

static void services_make_entry(struct service *s, const struct manifest_service *record)
{
	*s = (struct service){.record = record, .rule = policy_rule_from(record), .step = STEP_DONE};
	memcpy(s->image, record->image, NAME_SIZE);
	bool again = self_restarted() && (record->flags & SERVICE_FLAG_APP); // our former incarnation has started it, once
	if ((record->flags & SERVICE_FLAG_AUTOSTART) && !again)
		s->phase = PHASE_WAITING;
	if (record->flags & SERVICE_FLAG_FIRST) { // that is us
		s->phase = PHASE_UP;
		s->epoch = self_epoch();
		s->domain = (struct loader_domain){.handle = services.self, .core = self_core(), .domain = self_domain()};
	}
}

// Whoever is not in the order waits in a circle and would wait for ever.
static void services_hold_circle(unsigned ordered)
{
	bool placed[MANIFEST_SERVICE_MAX] = {false};
	for (unsigned i = 0; i < ordered; i++)
		placed[services.order[i]] = true;
	for (unsigned i = 0; i < services.count; i++) {
		if (!placed[i] && services.entry[i].phase == PHASE_WAITING)
			services_set_held(&services.entry[i]);
	}
}

enum error services_setup(const struct image *image, const struct machine *machine, unsigned cores)
{
	char why[SERVICES_WHY];
	services.image = image;
	services.machine = machine;
	services.cores = cores;
	services.count = image->manifest.count;
	restart_number_from(self_epoch());
	struct kernel_result self = kcall(CALL_domain_open, self_core(), self_domain());
	services.self = self.error ? 0 : self.value[0];
	for (unsigned i = 0; i < services.count; i++)
		services_make_entry(&services.entry[i], &image->manifest.services[i]);
	for (unsigned i = services.count; i < SERVICES_MAX; i++)
		services.entry[i] = (struct service){0};
	memset(services.order, 0xff, sizeof services.order);
	enum error error = manifest_order(&image->manifest, services.order, why, sizeof why);
	if (error) {
		say("supervisor: %s; they are held", why);
		unsigned ordered = 0;
		while (ordered < services.count && services.order[ordered] != 0xff)
			ordered++;
		services_hold_circle(ordered);
	}
	return error;
}

// ---- publishing

enum service_state services_state(const struct service *service)
{
	switch (service->phase) {
	case PHASE_IDLE: return SERVICE_NONE;
	case PHASE_WAITING:
	case PHASE_STARTING: return service->job ? SERVICE_UP : SERVICE_STARTING;
	case PHASE_UP: return SERVICE_UP;
	case PHASE_DELAYED: return SERVICE_DOWN;
	case PHASE_HELD: return SERVICE_HELD;
	case PHASE_LOST: return SERVICE_DOWN;
	}
	return SERVICE_NONE;
}

void services_publish(const struct service *service, enum service_state state)
{
	uint64_t handle = service->domain.handle ? service->domain.handle : services.self;
	for (unsigned i = 0; i < service->record->serves_count && handle; i++) {
		uint64_t name[2];
		memcpy(name, service->record->serves[i], sizeof name);
		kcall(CALL_domain_publish, handle, name[0], name[1], state);
	}
}

void services_set_up(struct service *service)
{
	service->phase = PHASE_UP;
	services_publish(service, SERVICE_UP);
}

void services_set_held(struct service *service)
{
	service->phase = PHASE_HELD;
	services_publish(service, SERVICE_HELD);
}

void services_set_lost(unsigned core)
{
	for (unsigned i = 0; i < services.count + JOB_MAX; i++) {
		struct service *s = &services.entry[i];
		if (!s->record || !s->domain.handle || s->domain.core != core || s->phase == PHASE_LOST ||
		    s->phase == PHASE_HELD || (s->record->flags & SERVICE_FLAG_FIRST))
			continue;
		timer_cancel(&s->timer);
		s->phase = PHASE_LOST;
		s->last_fault = FAULT_CORE;
		say("supervisor: %.16s (core %u, domain %u, epoch %u) is down: its core is lost", s->record->name, core,
		    s->domain.domain, s->epoch);
	}
}

// Domains that a reborn kernel has kept and nobody owns: half made when it died, or given up when the core was fenced off.
void services_sweep(unsigned core)
{
	static struct info_page page;
	if (!info_read(core, &page))
		return;
	for (unsigned i = 0; i < DOMAIN_MAX; i++) {
		if (page.domains[i].state != DOMAIN_STOPPED || services_of_domain(core, i))
			continue;
		struct kernel_result opened = kcall(CALL_domain_open, core, i);
		if (!opened.error)
			kcall(CALL_domain_destroy, opened.value[0]);
	}
}

void services_fence(unsigned core)
{
	for (unsigned i = 0; i < services.count + JOB_MAX; i++) {
		struct service *s = &services.entry[i];
		if (!s->record || s->phase != PHASE_LOST || s->domain.core != core)
			continue;
		if (s->job) {
			jobs_end(s, FAULT_CORE, 0);
			continue;
		}
		s->domain.handle = 0;
		s->fenced = true;
		services_set_held(s);
	}
}

// It has stopped after all: what it drove can be reset, and started anew.
static void services_unfence(unsigned core)
{
	for (unsigned i = 0; i < services.count; i++) {
		struct service *s = &services.entry[i];
		const struct manifest_service *r = s->record;
		if (!s->fenced || s->domain.core != core || s->phase != PHASE_HELD)
			continue;
		struct pci_device *device = r->device > DEVICE_UART ? pci_device_find(r->device, r->device_index) : 0;
		if (device && pci_device_quiesce(device))
			continue;
		services_publish(s, SERVICE_NONE); // the line that was in our own name
		s->fenced = false;
		s->phase = PHASE_WAITING;
	}
}

unsigned services_return(unsigned core, uint64_t lost)
{
	unsigned back = 0;
	services_unfence(core);
	for (unsigned i = 0; i < services.count && services.order[i] < services.count; i++) {
		struct service *s = &services.entry[services.order[i]];
		if (s->phase == PHASE_LOST && s->domain.core == core)
			back += watch_return(s, lost);
	}
	for (unsigned i = services.count; i < services.count + JOB_MAX; i++) {
		struct service *s = &services.entry[i];
		if (s->record && s->phase == PHASE_LOST && s->domain.core == core)
			back += watch_return(s, lost);
	}
	return back;
}

// ---- starting

static unsigned services_load(unsigned core)
{
	unsigned load = 0;
	for (unsigned i = 0; i < services.count + JOB_MAX; i++) {
		const struct service *s = &services.entry[i];
		load += s->record && s->domain.handle && s->domain.core == core;
	}
	return load;
}

// Where the one is beside whom it is placed, or will be. The manifest was checked: such a chain ends.
static unsigned services_core_beside(const struct manifest_service *record)
{
	const struct service *other = &services.entry[record->beside - 1];
	if (other->domain.handle && cores_usable(other->domain.core))
		return other->domain.core;
	return services_choose_core(other->record);
}

unsigned services_choose_core(const struct manifest_service *record)
{
	if (record->beside)
		return services_core_beside(record);
	if (record->core != CORE_ANY && cores_usable(record->core % services.cores))
		return record->core % services.cores;
	unsigned best = self_core(), least = ~0u;
	for (unsigned core = 0; core < services.cores; core++) {
		unsigned load = services_load(core);
		if (load < least && cores_usable(core)) {
			best = core;
			least = load;
		}
	}
	return best;
}

static const char *services_device_name(const struct manifest_service *record)
{
	static const char *const name[] = {"", "UART", "block device", "network device", "random number device"};
	return name[record->device];
}

static void services_fail(struct service *s, const char *what)
{
	say("supervisor: %.16s is held: %s", s->record->name, what);
	services_set_held(s);
}

// Has the image and the device? Says so when not.
static bool services_can_start(struct service *s, struct image_program *program)
{
	char why[SERVICES_WHY];
	if (s->fenced && s->record->device > DEVICE_UART) {
		services_fail(s, "a core that is fenced off may still drive its device");
		return false;
	}
	if (!loader_device_exists(services.machine, s->record)) {
		bool needed = loader_needs_device(s->record);
		say("supervisor: %.16s %s: this machine has no %s %u", s->record->name,
		    needed ? "is held" : "starts without one of its components", services_device_name(s->record), s->record->device_index);
		if (needed) {
			services_set_held(s);
			return false;
		}
	}
	if (image_program(services.image, s->image, program, why, sizeof why)) {
		services_fail(s, why);
		return false;
	}
	return true;
}

// Who uses a service that was started again as another domain (on another core, or because its kernel could not keep its record) has
// lost its channel: it begins anew too.
static void services_follow(const struct service *moved)
{
	for (unsigned i = 0; i < services.count; i++) {
		struct service *s = &services.entry[i];
		for (unsigned u = 0; u < s->record->uses_count; u++) {
			int provider = manifest_provider(&services.image->manifest, s->record->uses[u]);
			if (provider >= 0 && &services.entry[provider] == moved)
				watch_kill(s); // unless it does not run
		}
	}
}

// What is to be made for it. Until that is done it counts as one of its core's.
static bool services_prepare(struct service *s, struct loader_order *order)
{
	*order = (struct loader_order){.record = s->record, .domain = &s->domain};
	if (!services_can_start(s, &order->program))
		return false;
	if (!s->domain.handle && s->phase == PHASE_HELD)
		services_publish(s, SERVICE_NONE); // the line that was in our own name
	order->core = services_choose_core(s->record);
	s->domain = (struct loader_domain){.handle = LOADER_UNDER_WAY, .core = order->core};
	return true;
}

// It is made, or was not.
static void services_begin(struct service *s, enum error error)
{
	bool moved = s->fenced || s->epoch > 0 || self_restarted(); // our former incarnation had it, and its record is lost
	s->fenced = false;
	if (!error) {
		error = loader_attach(services.machine, s->record, &s->domain);
		if (error) {
			kcall(CALL_domain_destroy, s->domain.handle);
			s->domain.handle = 0;
		}
	}
	if (error) {
		services_fail(s, error_sentence(error));
		return;
	}
	restart_first_start(s);
	if (moved)
		services_follow(s);
}

void services_start(struct service *s)
{
	struct loader_order order;
	if (!services_prepare(s, &order))
		return;
	loader_create(services.image, &order, 1);
	services_begin(s, order.error);
}

// Is whatever is published under that name there, or certain not to come?
static bool services_use_settled(const char name[NAME_SIZE])
{
	int provider = manifest_provider(&services.image->manifest, name);
	if (provider < 0) // "*": an app's affair
		return true;
	switch (services.entry[provider].phase) {
	case PHASE_WAITING:
	case PHASE_STARTING:
	case PHASE_DELAYED:
		return false;
	default:
		return true;
	}
}

bool services_may_start(const struct service *s)
{
	for (unsigned i = 0; i < s->record->uses_count; i++) {
		if (!services_use_settled(s->record->uses[i]))
			return false;
	}
	return true;
}

static bool services_is_due(const struct service *s)
{
	return s->phase == PHASE_WAITING && services_may_start(s);
}

// Those whose turn has come, loaded all at once. True: there were some, and it may be others' turn now.
static bool services_advance_round(void)
{
	static struct loader_order orders[SERVICES_ROUND];
	struct service *due[SERVICES_ROUND];
	unsigned count = 0;
	bool any = false;
	for (unsigned i = 0; i < services.count && services.order[i] < services.count && count < SERVICES_ROUND; i++) {
		struct service *s = &services.entry[services.order[i]];
		if (!services_is_due(s))
			continue;
		any = true;
		if (s->record->flags & SERVICE_FLAG_APP) {
			uint32_t job;
			s->phase = PHASE_IDLE;
			jobs_start(s->record, s->record->argument, strlen(s->record->argument), &job);
		} else if (services_prepare(s, &orders[count])) {
			due[count++] = s;
		}
	}
	loader_create(services.image, orders, count);
	for (unsigned i = 0; i < count; i++)
		services_begin(due[i], orders[i].error);
	return any;
}

void services_advance(void)
{
	static bool advancing; // what is begun may end at once, and call us: the next round sees to it
	if (!cores_settled() || advancing) // what waits may stand on a core that is coming back
		return;
	advancing = true;
	for (unsigned i = 0; i <= services.count && cores_settled() && services_advance_round(); i++)
		; // each round leaves fewer that wait
	advancing = false;
}

bool services_settled(void)
{
	for (unsigned i = 0; i < services.count; i++) {
		enum service_phase phase = services.entry[i].phase;
		if (phase == PHASE_WAITING || phase == PHASE_STARTING)
			return false;
	}
	return true;
}

// ---- adoption

// The entry that a running domain of that name belongs to: the service, or a new job entry.
static struct service *services_entry_for(const char name[NAME_SIZE])
{
	int i = manifest_find(&services.image->manifest, name);
	if (i < 0)
		return 0;
	const struct manifest_service *record = &services.image->manifest.services[i];
	if (!(record->flags & SERVICE_FLAG_APP))
		return services.entry[i].domain.handle ? 0 : &services.entry[i];
	struct service *s = services_free_job();
	if (s)
		services_make_entry(s, record);
	return s;
}

// Our former incarnation was putting another image into it. It keeps its channels, so that its clients see a restart; which image
// that was, nobody has told us: its first goes in.
static void services_adopt_replaced(struct service *s)
{
	say("supervisor: %.16s has half of another image: its first goes in again", s->record->name);
	s->replace = true;
	restart_now(s);
}

static enum error services_adopt_domain(unsigned core, unsigned domain, const struct info_domain *info)
{
	char why[SERVICES_WHY];
	struct image_program program;
	struct kernel_result opened = kcall(CALL_domain_open, core, domain);
	if (opened.error)
		return opened.error;
	bool created = info->state == DOMAIN_CREATED;
	struct service *s = created && opened.value[1] == 0 ? 0 : services_entry_for(info->name);
	if (!s || image_program(services.image, s->image, &program, why, sizeof why)) {
		kcall(CALL_domain_destroy, opened.value[0]); // half made by our former incarnation, or nobody's
		return ERR_OK;
	}
	s->domain = (struct loader_domain){.handle = opened.value[0], .core = core, .domain = domain, .entry = program.elf.entry};
	if (s->record->device > DEVICE_UART)
		s->domain.device = pci_device_find(s->record->device, s->record->device_index);
	s->epoch = (uint32_t)opened.value[1];
	if (created) {
		services_adopt_replaced(s);
		return ERR_OK;
	}
	s->phase = s->record->serves_count ? PHASE_STARTING : PHASE_UP;
	if (s->record->flags & SERVICE_FLAG_APP)
		s->job = jobs_number(core, domain, s->epoch);
	watch_check(s);
	if (s->phase == PHASE_STARTING || s->phase == PHASE_UP)
		watch_arm(s);
	if (s->phase == PHASE_STARTING && !s->job)
		watch_start(s);
	return ERR_OK;
}

void services_mourn(unsigned core, const struct info_page *page)
{
	bool wiped = page->state == CORE_STARTING; // it died in its rebirth: anything may have stood there
	for (unsigned i = 0; i < services.count; i++) {
		struct service *s = &services.entry[i];
		bool there = wiped && s->record->device > DEVICE_UART;
		for (unsigned d = 0; d < DOMAIN_MAX && !wiped; d++)
			there |= page->domains[d].state != DOMAIN_FREE && memcmp(page->domains[d].name, s->record->name, NAME_SIZE) == 0;
		if (there && !s->domain.handle) { // else it is elsewhere
			s->fenced = true;
			s->domain.core = core;
		}
	}
}

bool services_adopt(unsigned core)
{
	static struct info_page page; // a page is too much for a fiber's stack
	if (!info_read(core, &page))
		return false;
	for (unsigned i = 0; i < DOMAIN_MAX; i++) {
		bool none = page.domains[i].state == DOMAIN_FREE || page.domains[i].state == DOMAIN_DYING;
		if (none || (core == self_core() && i == self_domain()) || services_of_domain(core, i))
			continue;
		if (services_adopt_domain(core, i, &page.domains[i]) == ERR_CORE_LOST)
			return false;
	}
	return true;
}

unsigned services_count_adopted(void)
{
	unsigned count = 0;
	for (unsigned i = 0; i < services.count + JOB_MAX; i++) {
		const struct service *s = &services.entry[i];
		count += s->record && s->domain.handle && !(s->record->flags & SERVICE_FLAG_FIRST);
	}
	return count;
}

void services_fill(const struct service *s, struct supervisor_service *out)
{
	*out = (struct supervisor_service){
		.core = s->domain.core,
		.domain = s->domain.domain,
		.epoch = s->epoch,
		.state = services_state(s),
		.restarts = s->restarts,
		.faults = s->faults,
		.hangs = s->hangs,
		.complaints = s->complaints,
		.last_fault = s->last_fault,
		.job = s->job,
		.restart_ticks_last = s->restart_ticks_last,
		.restart_ticks_max = s->restart_ticks_max,
	};
	memcpy(out->name, s->record->name, NAME_SIZE);
	memcpy(out->image, s->image, NAME_SIZE);
}
