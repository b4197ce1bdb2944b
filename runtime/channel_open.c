// Opening a channel end as a client (channel_open.h).
//
// Owns nothing between calls. Right because the kernel alone knows which ends there are: a former incarnation's is found by its
// service's name. If this domain dies here, a half opened end is closed by its kernel; if the server does, we ask again.
#include "runtime/channel_open.h"
#include "abi/channel.h"
#include "runtime/fiber.h"
#include "runtime/machine.h"
#include "runtime/runtime.h"
#include <string.h>

#define OPEN_BACKOFF_FIRST_US 1000u // between two looks for a service that is not published
#define OPEN_BACKOFF_LAST_US 50000u // a service that takes longer has trouble; 20 looks a second cost nothing

static bool manifest_allows(const char *service)
{
	const struct manifest_service *self = self_manifest();
	if (self->flags & SERVICE_FLAG_FIRST) // the supervisor uses nobody in the manifest's sense: it waits for none of them
		return true;
	for (unsigned i = 0; i < self->uses_count && i < MANIFEST_USES_MAX; i++) {
		if (!strncmp(self->uses[i], service, NAME_SIZE))
			return true;
		if ((self->flags & SERVICE_FLAG_APP) && !strncmp(self->uses[i], "*", NAME_SIZE))
			return true;
	}
	return false;
}

static bool former_fits(unsigned slot, const uint64_t name[2])
{
	struct kernel_result found = kcall(CALL_channel_name, slot);
	return found.error == ERR_OK && found.value[0] == name[0] && found.value[1] == name[1];
}

static bool former_kind_fits(const struct kernel_result *info, const struct channel_wish *wish)
{
	bool notifies = CHANNEL_INFO_SLOTS(info->value[1]) == 0, vault = info->value[3] == 0;
	return CHANNEL_INFO_ROLE(info->value[0]) == CHANNEL_ROLE_CLIENT && notifies == (wish->slots == 0) &&
	       vault == (wish->in_bytes == 0);
}

// The slot of an end to that service which a former incarnation opened; -1: none.
static int former_slot(const uint64_t name[2], const struct channel_wish *wish)
{
	for (unsigned slot = 0; slot < CHANNEL_MAX; slot++) {
		struct kernel_result info = kcall(CALL_channel_info, slot);
		if (info.error != ERR_OK || !former_kind_fits(&info, wish) || wish->taken(slot))
			continue;
		unsigned state = CHANNEL_INFO_STATE(info.value[0]);
		if (state == CHANNEL_LOST)
			kcall(CALL_channel_close, slot); // of no use to anybody
		if ((state == CHANNEL_OPEN || state == CHANNEL_DOWN) && former_fits(slot, name))
			return (int)slot;
	}
	return -1;
}

static enum error new_slot(const uint64_t name[2], const struct channel_wish *wish, unsigned *slot)
{
	struct channel_geometry geometry;
	if (!channel_layout(&geometry, wish->slots, wish->out_bytes, wish->in_bytes) || wish->priority >= CHANNEL_PRIORITIES)
		return ERR_INVALID;
	struct kernel_result r =
		kcall(CALL_channel_open, name[0], name[1], wish->slots << 32 | wish->priority, wish->out_bytes, wish->in_bytes);
	*slot = (unsigned)r.value[0];
	return r.error;
}

static bool open_may_be_tried_again(enum error e)
{
	return e == ERR_NOT_FOUND || e == ERR_STATE || e == ERR_AGAIN || e == ERR_CORE_LOST || e == ERR_TIMEOUT ||
	       e == ERR_HANDLE;
}

// Opens as soon as the service is published and accepts.
static enum error new_slot_wait(const char *service, const uint64_t name[2], const struct channel_wish *wish, unsigned *slot)
{
	uint64_t pause = OPEN_BACKOFF_FIRST_US;
	for (;;) {
		struct info_service found = {0};
		enum error e = ERR_NOT_FOUND;
		if (info_find_service(service, 0, &found))
			e = new_slot(name, wish, slot);
		else if (found.state == SERVICE_HELD)
			return ERR_PEER_LOST;
		if (!open_may_be_tried_again(e))
			return e;
		fiber_sleep_us(pause);
		if (pause < OPEN_BACKOFF_LAST_US)
			pause *= 2;
	}
}

enum error channel_end_open(const char *service, const struct channel_wish *wish, unsigned *slot, bool *resumed)
{
	uint64_t name[2] = {0};
	memcpy(name, service, strnlen(service, NAME_SIZE));
	if (!manifest_allows(service))
		return ERR_NOT_FOUND;
	int former = former_slot(name, wish);
	*resumed = former >= 0;
	*slot = (unsigned)former;
	return *resumed ? ERR_OK : new_slot_wait(service, name, wish, slot);
}

// --- vaults

#define VAULT_KEEPER "supervisor" // is in every system; knows only that it has one client more
#define VAULT_SLOTS 2u            // the fewest that there can be

static uint64_t vaults_taken; // by this incarnation: a bit for each slot
_Static_assert(CHANNEL_MAX <= 64, "a bit for each slot");

static char *vault_label(unsigned slot)
{
	return (char *)((struct channel_client_page *)(void *)machine_channel(slot))->session;
}

// Ours, with so much room, and of that label. What state its channel is in is nothing to us.
static int vault_former(const char *label, unsigned slot, uint64_t bytes)
{
	const struct channel_wish kind = {.slots = VAULT_SLOTS};
	for (; slot < CHANNEL_MAX; slot++) {
		struct kernel_result info = kcall(CALL_channel_info, slot);
		if (info.error == ERR_OK && former_kind_fits(&info, &kind) && info.value[2] >= bytes && !(vaults_taken >> slot & 1) &&
		    !strncmp(vault_label(slot), label, NAME_SIZE))
			return (int)slot;
	}
	return -1;
}

int channel_vault_next(const char *label, unsigned slot)
{
	int found = vault_former(label, slot, 0);
	if (found >= 0)
		vaults_taken |= 1ull << found;
	return found;
}

void *channel_vault_notes(unsigned slot)
{
	return vault_label(slot) + VAULT_NOTES_BYTES;
}

enum error channel_vault_open(const char *label, uint64_t bytes, unsigned *slot, bool *resumed)
{
	uint64_t name[2] = {0};
	const struct channel_wish wish = {.slots = VAULT_SLOTS, .out_bytes = bytes};
	memcpy(name, VAULT_KEEPER, strlen(VAULT_KEEPER));
	int former = vault_former(label, 0, bytes);
	if (former < 0)
		former = vault_former("", 0, bytes); // we died before it had its label
	*resumed = former >= 0;
	*slot = (unsigned)former;
	enum error e = *resumed ? ERR_OK : new_slot_wait(VAULT_KEEPER, name, &wish, slot);
	if (e == ERR_OK) {
		strncpy(vault_label(*slot), label, NAME_SIZE);
		vaults_taken |= 1ull << *slot;
	}
	return e;
}

void channel_vault_leave(unsigned slot)
{
	vaults_taken &= ~(1ull << slot);
}
