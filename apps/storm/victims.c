// Victims of a campaign (victims.h).
//
// Owns who can be harmed, and the client that is. What is known of life and death stands on the info pages, which cost nobody
// anything to read. Must never restart what died by itself: that is the supervisor's. If this domain dies, the client that it
// has spawned goes on until its hour is over.
#include "apps/storm/victims.h"
#include "apps/storm/storm.h"
#include "runtime/client.h"
#include "runtime/fiber.h"
#include "runtime/runtime.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define SOON_POLL_US 500u
#define SOON_POLLS 60u
#define SUPERVISOR_TRIES 5u
#define PC_UNMAPPED (1ull << 40) // of the pc: then it is nowhere
#define VICTIMS (STORM_SERVICES + 1u + CORE_MAX)

static struct damage_victim victims[VICTIMS];
static unsigned victim_count;
static uint32_t incarnations[CORE_MAX]; // of the kernels, as last seen

unsigned victims_count(void)
{
	return victim_count;
}

struct damage_victim *victims_at(unsigned index)
{
	return &victims[index];
}

bool victim_is_client(const struct damage_victim *v)
{
	return v->served[0] == 0 && !v->kernel;
}

bool victim_is_supervisor(const struct damage_victim *v)
{
	return strcmp(v->who.name, "supervisor") == 0;
}

static const struct info_page *page_of(unsigned core)
{
	static struct info_page page;
	return info_read(core, &page) ? &page : 0;
}

// --- who

static enum error client_start(struct damage_victim *v, uint64_t *random)
{
	char arguments[64];
	snprintf(arguments, sizeof(arguments), "3600 --rate 0 --workers 1 --quiet --seed %" PRIu64,
		 storm_random_below(random, 1000000));
	return supervision_spawn("storm", arguments, &v->who.job);
}

static enum error service_learn(const char *name)
{
	struct supervisor_service s;
	struct damage_victim *v = &victims[victim_count++];
	enum error e = supervision_find(name, &s);
	if (e != ERR_OK)
		return e;
	memcpy(v->who.name, s.name, NAME_SIZE);
	supervision_served_name(&s, v->served);
	return damage_learn(v);
}

// All but our own, with which all would end.
static void kernels_learn(void)
{
	for (unsigned core = 0; core < CORE_MAX; core++) {
		const struct info_page *page = page_of(core);
		if (!page || page->state != CORE_ONLINE)
			continue;
		incarnations[core] = page->incarnation;
		if (!storm_options.kernels || core == self_core())
			continue;
		struct damage_victim *v = &victims[victim_count++];
		v->kernel = true;
		v->core = core;
		snprintf(v->who.name, sizeof(v->who.name), "kernel%u", core);
	}
}

enum error victims_learn(uint64_t *random)
{
	enum error e = ERR_OK;
	for (unsigned i = 0; i < storm_options.services && e == ERR_OK; i++)
		e = service_learn(storm_options.service[i]);
	if (e == ERR_OK && storm_options.clients) {
		struct damage_victim *v = &victims[victim_count++];
		strcpy(v->who.name, "client");
		e = client_start(v, random);
		if (e == ERR_OK)
			e = damage_learn(v);
	}
	kernels_learn();
	return e;
}

void victims_end(void)
{
	for (unsigned i = 0; i < victim_count; i++)
		if (victim_is_client(&victims[i]))
			(void)supervision_stop(victims[i].who.job);
}

// --- life and death

static bool client_find(struct damage_victim *v)
{
	struct supervisor_service s;
	for (unsigned i = 0; supervision_service(i, &s) == ERR_OK; i++) {
		if (s.job != v->who.job)
			continue;
		v->core = s.core;
		v->domain = s.domain;
		return true;
	}
	return false;
}

static bool victim_find(struct damage_victim *v)
{
	struct info_service found;
	if (victim_is_client(v))
		return client_find(v);
	if (!info_find_service(v->served, &v->core, &found))
		return false;
	v->domain = found.domain;
	return true;
}

bool victim_note(struct shot *s)
{
	struct damage_victim *v = s->victim;
	if (!v->kernel && !victim_find(v))
		return false;
	const struct info_page *page = page_of(v->core);
	if (!page || page->state != CORE_ONLINE)
		return false;
	s->epoch = v->kernel ? page->incarnation : page->domains[v->domain].epoch;
	s->faults = v->kernel ? 0 : page->domains[v->domain].faults;
	return true;
}

bool victim_has_died(const struct shot *s)
{
	const struct info_page *page = page_of(s->victim->core);
	if (!page) // its kernel is writing it, or has died while it did
		return false;
	if (s->victim->kernel)
		return page->state != CORE_ONLINE || page->incarnation != s->epoch;
	const struct info_domain *line = &page->domains[s->victim->domain];
	return line->faults != s->faults || line->epoch != s->epoch;
}

bool victim_is_reborn(const struct shot *s)
{
	const struct info_page *page = page_of(s->victim->core);
	return page && page->state == CORE_ONLINE && page->incarnation != s->epoch;
}

unsigned victims_kernels_died(void)
{
	unsigned died = 0;
	for (unsigned core = 0; core < CORE_MAX; core++) {
		const struct info_page *page = incarnations[core] ? page_of(core) : 0;
		if (!page || page->incarnation == incarnations[core])
			continue;
		incarnations[core] = page->incarnation;
		died++;
	}
	return died;
}

// --- pristine again

static bool dies_soon(const struct shot *s)
{
	for (unsigned i = 0; i < SOON_POLLS && !victim_has_died(s); i++)
		fiber_sleep_us(SOON_POLL_US);
	return victim_has_died(s);
}

// One that does not do as it is asked, because of the damage, is asked in another way: to flip a bit of its own pc. Then it is
// complained about, which goes by the kernels.
static enum error supervisor_renew(struct shot *s)
{
	uint64_t was;
	for (unsigned i = 0; i < SUPERVISOR_TRIES; i++) {
		(void)supervision_inject(s->victim->served, "", INJECT_ILLEGAL, 1, 0);
		if (dies_soon(s))
			return ERR_OK;
		(void)supervision_poke(&s->victim->who, 0, PC_UNMAPPED, &was);
		if (dies_soon(s))
			return ERR_OK;
		s->kind = FAULT_COMPLAINT;
		(void)kcall(CALL_channel_complain, client_slot(supervision_client()), COMPLAINT_BAD_INDEX);
		if (dies_soon(s))
			return ERR_OK;
	}
	return ERR_TIMEOUT;
}

static enum error service_renew(struct shot *s)
{
	s->renewed = true;
	enum error e = victim_is_supervisor(s->victim) ? supervisor_renew(s) : supervision_kill(s->victim->who.name);
	return e == ERR_STATE ? ERR_OK : e;
}

// A client that ended by itself is known to the supervisor by its end; the next one takes its place.
static enum error client_renew(struct shot *s, uint64_t *random)
{
	uint64_t code, kind = FAULT_NONE;
	s->renewed = true;
	enum error e = supervision_stop(s->victim->who.job);
	if (e == ERR_NOT_FOUND && supervision_wait(s->victim->who.job, &code, &kind) == ERR_OK && s->damage.class != DAMAGE_STOP)
		s->kind = (unsigned)kind;
	return client_start(s->victim, random);
}

enum error victim_renew(struct shot *s, uint64_t *random)
{
	bool harmless = (damage_is_at_point(s->damage.class) && !s->fired) || s->damage.class == DAMAGE_BELL;
	if (victim_is_client(s->victim))
		return client_renew(s, random);
	if (s->victim->kernel)
		return s->online ? ERR_OK : ERR_CORE_LOST;
	return s->died || harmless ? ERR_OK : service_renew(s);
}

bool victims_answer(void)
{
	for (unsigned i = 0; i < victim_count; i++)
		if (victims[i].served[0] && supervision_ping(victims[i].served) != ERR_OK)
			return false;
	return true;
}
