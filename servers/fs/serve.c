// Serving: who may run beside whom, when operations are recorded, and when they are committed.
//
// Owns: the lock of the volume, the committer fiber, the highest serial performed. Reading operations share the lock,
// changing ones have it alone, and a commit shares it only while it copies: then it writes while operations go on.
// Record before effect (INV-24): a changing operation works on the cache, which no other can see while the
// lock is held; its record is written before the lock is given back, so before anybody sees the effect and before a commit
// can copy it. A commit copies between operations only, so its mark is exact: all serials up to it are inside.
// If the server dies in an operation: the cache with its half of the work is gone, no record exists, the next
// incarnation performs it again from the client's ring. If it dies later: see commit.c.
#include "servers/fs/serve.h"
#include "runtime/fence.h"
#include "runtime/fiber.h"
#include "runtime/inject.h"
#include "runtime/runtime.h"
#include "servers/fs/handle.h"
#include "servers/fs/lock.h"
#include "servers/fs/ops.h"
#include "servers/fs/poison.h"
#include "servers/fs/share.h"
#include <string.h>

#define COMMIT_TRIES 5u
#define COMMIT_RETRY_US 20000u // between two tries after errors of the device
#define COMMIT_AFTER_REPLAY_US 1000u // first those have their answers who have waited for a restart
#define COMMIT_PART 4u // of the log area, that is dirty: a commit; the next can gather while this one is written
#define CONTENT_SLOTS 256u
#define REPLAY_BREATH 16u // operations that are performed again between two answers to pings
#define CLOSING_MAX 64u        // channels waiting for their last commit; more are released with the next one

static struct volume *volume;
static uint64_t time_base;
static struct lock volume_lock;
static struct fiber_mutex commit_mutex;
static uint64_t serial_performed; // highest one whose effect is in the cache
static uint64_t serial_committed;
static bool commit_failed; // the device refuses writes: the volume is read-only until the next boot
static struct fiber *committer;
static bool commit_due;
static uint64_t commit_delay_us; // after which a change that nobody syncs is committed
static struct timer commit_timer;
// Highest serial that changed the content of one of the inodes that share the slot: what an fdatasync waits for. Sharing
// costs it a commit too many at times. Forgotten by the next incarnation, which performs again what is not committed.
static uint64_t content_serial[CONTENT_SLOTS];
static struct server_channel *closing[CLOSING_MAX];
static unsigned closing_count;
static struct doubts *doubts; // 0: nothing outlives this server, so nothing is doubted
static bool replays_done; // orphans live until then: a replay may still write into one
// By a commit that then could not be made. No record says so: who got such an inode now could not get it again in a replay (INV-57).
static bool orphans_freed;

static uint64_t seconds_of(uint64_t stamp)
{
	uint64_t now = time_now();
	return time_base + time_us_from_ticks(stamp < now ? stamp : now) / 1000000;
}

// ---- commits ----

static void want_commit(void)
{
	commit_due = true;
	if (committer)
		fiber_wake(committer);
}

static void commit_timer_expired(struct timer *timer)
{
	(void)timer;
	want_commit();
}

void serve_commit_wanted(void)
{
	want_commit();
}

// What refuses writes may be this server, or the one that drives the disk and is asked anew by the next. A disk that cannot be
// read either leaves no next one.
static bool refusal_is_doubted(enum error error)
{
	const struct damage d = {.function = __func__, .line = __LINE__, .code = EXT4_ERROR_DEVICE};
	struct ext2_super super;
	return error != ERR_PEER_LOST && volume_read_super(volume, &super) == ERR_OK && damage_is_doubted(volume, &d);
}

static void commit_give_up(enum error error)
{
	log_line("fs: a commit could not be written (error %d)", (int)error);
	invariant(!refusal_is_doubted(error)); // INV-68
	lock_take(&volume_lock, true); // an operation that has begun ends first, and is lost with the others
	commit_failed = true;
	volume->read_only = true;
	lock_give(&volume_lock);
	log_line("fs: the device refuses writes (error %d): read-only from now on, %llu operations up to %llu are lost",
		 (int)error, (unsigned long long)(serial_performed - serial_committed), (unsigned long long)serial_performed);
	poison_add(POISON_ALL, serial_performed);
	volume_abort(volume);
	serial_committed = serial_performed; // frees the clients' slots; a sync will say what happened
	server_committed(serial_committed);
}

// An incarnation before gave up, or could not write its commit. What is recorded is in there, or lost: nothing is replayed.
static uint64_t give_up_at_start(uint64_t mark)
{
	uint64_t last = server_serial_last();
	if (last > mark)
		log_line("fs: %llu operations up to %llu are lost", (unsigned long long)(last - mark), (unsigned long long)last);
	commit_failed = true;
	poison_add(POISON_ALL, last);
	return last > mark ? last : mark;
}

static enum error checkpoint(struct volume *v)
{
	return commit_checkpoint(&v->log);
}

// A step of a commit. What the device refuses once, it may take the next time.
static enum error commit_persistently(enum error (*step)(struct volume *v))
{
	enum error error = step(volume);
	for (unsigned i = 1; i < COMMIT_TRIES && error != ERR_OK && error != ERR_PEER_LOST; i++) {
		fiber_sleep_us(COMMIT_RETRY_US);
		error = step(volume);
	}
	return error;
}

static void note_durable(uint64_t mark)
{
	if (mark <= serial_committed)
		return;
	serial_committed = mark;
	server_committed(mark);
}

// Nobody says that a file is closed but its session table, so it is looked at from time to time.
static void look_after_orphans(void)
{
	if (volume->super->last_orphan && !volume->orphans_damaged && !commit_timer.armed)
		timer_arm(&commit_timer, time_now() + time_ticks_from_us(commit_delay_us));
}

static enum error commit_locked(void)
{
	uint32_t count = 0;
	if (commit_failed)
		return ERR_DEVICE;
	if (volume->read_only)
		return ERR_OK;
	timer_cancel(&commit_timer);
	bool orphans = replays_done && volume->super->last_orphan != 0;
	lock_take(&volume_lock, orphans);
	uint64_t mark = serial_performed;
	if (orphans)
		fsop_free_orphans(volume, seconds_of(time_now()));
	enum error error = fsop_commit_begin(volume, mark, &count);
	orphans_freed = error != ERR_OK && (orphans || orphans_freed);
	lock_give(&volume_lock);
	if (error == ERR_OK && count) {
		error = commit_persistently(fsop_commit_write);
		if (error == ERR_OK) {
			note_durable(mark);
			error = commit_persistently(checkpoint);
		}
		if (error != ERR_OK)
			commit_give_up(error);
		else
			fsop_commit_end(volume);
	}
	if (error == ERR_OK)
		note_durable(mark);
	look_after_orphans();
	return error;
}

// All that was performed before the call is on the medium afterwards (INV-28). Waits for a commit under way first.
static enum error commit_now(void)
{
	fiber_mutex_lock(&commit_mutex);
	enum error error = commit_locked();
	fiber_mutex_unlock(&commit_mutex);
	return error;
}

// The same for a client, who wants that serial to be durable: of all who wait for a commit under way, one makes the next,
// and it serves the others too.
static enum error sync_until(uint64_t wanted)
{
	enum error error = ERR_OK;
	fiber_mutex_lock(&commit_mutex);
	if (wanted > serial_committed || commit_failed)
		error = commit_locked();
	fiber_mutex_unlock(&commit_mutex);
	return error;
}

static uint64_t *content_slot(uint64_t handle)
{
	return &content_serial[FS_HANDLE_INODE(handle) % CONTENT_SLOTS];
}

static void note_content(const struct request *request, const uint64_t result[5], uint64_t serial)
{
	uint64_t handle[2];
	fsop_content_changed(request, result, handle);
	for (unsigned i = 0; i < 2; i++) {
		if (handle[i])
			*content_slot(handle[i]) = serial;
	}
}

// One file. Its commit takes all others along (there is one transaction at a time), so what can be saved is a commit that
// it does not need. Serials only rise, so the highest one of all will do where only the file's own is meant.
static enum error sync_file(const struct request *request, uint64_t result[5])
{
	bool pending;
	if (request->arg[1] & ~(uint64_t)(FS_FSYNC_DATA | FS_FSYNC_SINCE))
		return ERR_INVALID;
	lock_take(&volume_lock, false);
	enum error error = fsop_pending(volume, request->arg[0], &pending);
	lock_give(&volume_lock);
	if (error != ERR_OK)
		return error;
	uint64_t wanted = pending ? serial_performed : 0;
	if (request->arg[1] & FS_FSYNC_DATA && *content_slot(request->arg[0]) < wanted)
		wanted = *content_slot(request->arg[0]);
	result[0] = wanted > serial_committed;
	return sync_until(wanted);
}

static void release_closed(unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		server_release(closing[i]);
	for (unsigned i = count; i < closing_count; i++)
		closing[i - count] = closing[i];
	closing_count -= count;
}

static void committer_run(void *argument)
{
	(void)argument;
	for (;;) {
		while (!commit_due)
			fiber_park();
		commit_due = false;
		unsigned closed = closing_count;
		if (commit_now() == ERR_OK || commit_failed)
			release_closed(closed);
		else // who asked for it waits: their slots, or their last words
			timer_arm(&commit_timer, time_now() + time_ticks_from_us(COMMIT_RETRY_US));
	}
}

void serve_closed(struct server_channel *channel)
{
	poison_forget(server_channel_slot(channel));
	if (doubts)
		doubt_forget(doubts, server_channel_slot(channel));
	if (volume->super->last_orphan)
		want_commit(); // what only this client had open
	if (serial_performed == serial_committed || closing_count == CLOSING_MAX) {
		server_release(channel);
		return;
	}
	closing[closing_count++] = channel;
	want_commit();
}

static void schedule_commit(void)
{
	unsigned dirty = volume->cache.dirty.count;
	if (!replays_done) // one comes soon: serve_replayed
		return;
	if (dirty * COMMIT_PART >= volume_dirty_limit(volume))
		want_commit();
	else if (!commit_timer.armed)
		timer_arm(&commit_timer, time_now() + time_ticks_from_us(commit_delay_us));
}

// ---- operations ----

static bool has_room(uint32_t need)
{
	return !orphans_freed && volume->cache.dirty.count + need <= volume_dirty_limit(volume);
}

// Takes the lock alone, with room for `need` dirty blocks in the next commit.
static enum error lock_with_room(uint32_t need)
{
	if (need > volume_dirty_limit(volume) && !volume->read_only)
		return ERR_TOO_BIG;
	for (;;) {
		lock_take(&volume_lock, true);
		if (volume->read_only || has_room(need))
			return ERR_OK;
		lock_give(&volume_lock);
		enum error error = commit_now();
		if (error != ERR_OK && !volume->read_only)
			return error;
	}
}

static bool is_shortage(enum error error)
{
	return error == ERR_LIMIT || error == ERR_NO_MEMORY || error == ERR_AGAIN;
}

static struct share_change *change_alone; // of whoever holds the lock alone

static bool may_use(uint32_t inode, bool wanted)
{
	if (wanted)
		return share_enter(change_alone, inode, serial_committed);
	return !share_foreign(change_alone->client, inode, serial_committed);
}

// The lock is held alone. ERR_AGAIN and change->wanted: something uncommitted of another client is in the way (RECOVERY rule 6).
static enum error perform_once(const struct fs_call *call, struct share_change *change, uint64_t result[5])
{
	change->wanted = 0;
	change_alone = change;
	if (!call->forced && !share_alone(change->client, serial_committed)) // replays: it is decided
		volume->may_use = may_use;
	enum error error = fsop_perform(volume, call, result);
	volume->may_use = 0;
	return error;
}

// More became dirty than was expected: room by a commit, then by cutting the file down in pieces, each with a commit of
// its own. The lock is held alone again at the end.
static enum error perform_in_pieces(const struct fs_call *call, struct share_change *change, uint64_t result[5])
{
	enum error error = ERR_LIMIT;
	for (bool shrink = false; is_shortage(error); shrink = error != ERR_AGAIN) {
		if (shrink && (error = fsop_shrink(volume, call)) != ERR_OK)
			return error;
		lock_give(&volume_lock);
		error = commit_now();
		fiber_yield();
		lock_take(&volume_lock, true);
		if (error == ERR_OK)
			error = perform_once(call, change, result);
	}
	return error;
}

// That serial is durable, or its commit failed and failed again.
static enum error wait_durable(uint64_t wanted)
{
	enum error error = sync_until(wanted);
	for (unsigned i = 1; i < COMMIT_TRIES && error != ERR_OK && !commit_failed; i++) {
		fiber_sleep_us(COMMIT_RETRY_US);
		error = sync_until(wanted);
	}
	return error;
}

// On nothing that another client can still lose. At the end the lock is held alone, whatever the outcome.
static enum error perform_guarded(const struct fs_call *call, struct share_change *change, uint64_t result[5])
{
	enum error error = ERR_OK;
	while (error == ERR_OK || volume->read_only) {
		error = lock_with_room(fsop_need(volume, call->request));
		if (error != ERR_OK)
			break;
		error = perform_once(call, change, result);
		if (error != ERR_AGAIN || !change->wanted) {
			bool pieces = is_shortage(error) || (error == ERR_NO_SPACE && volume->super->last_orphan);
			return pieces ? perform_in_pieces(call, change, result) : error;
		}
		lock_give(&volume_lock);
		error = wait_durable(change->wanted);
		fiber_yield(); // whose turn it is may be ready, and has not run
	}
	lock_take(&volume_lock, true);
	return error;
}

static void note_changes(uint64_t client, uint64_t serial)
{
	if (volume->changed_count > VOLUME_CHANGED_MAX)
		share_note(client, 0, serial, serial_committed);
	for (unsigned i = 0; i < volume->changed_count && i < VOLUME_CHANGED_MAX; i++)
		share_note(client, volume->changed[i], serial, serial_committed);
}

static void perform_change(struct server_request *request, const struct fs_call *call, uint64_t key)
{
	uint64_t result[5], told[5];
	struct share_change change = {.client = server_channel_peer(request->channel)};
	enum error error = perform_guarded(call, &change, result);
	share_done(&change);
	if (error == ERR_OK) {
		(void)inject("fs.record");
		memcpy(told, result, sizeof(told));
		handle_seal_results(key, &request->copy, told);
		serial_performed = server_record(request, told);
		note_content(call->request, result, serial_performed);
		note_changes(change.client, serial_performed);
	}
	lock_give(&volume_lock);
	server_complete(request, error, error == ERR_OK ? told : 0);
	if (error == ERR_OK || volume->damages)
		schedule_commit();
}

// The highest serial of others that the client meets by this reading operation, also when it failed.
static uint64_t met_by_reading(uint64_t client, const struct request *request, const uint64_t result[5])
{
	if (share_alone(client, serial_committed))
		return 0;
	uint64_t serial = share_foreign(client, FS_HANDLE_INODE(request->arg[0]), serial_committed);
	uint64_t found = request->op == FS_OP_LOOKUP ? share_foreign(client, FS_HANDLE_INODE(result[0]), serial_committed) : 0;
	return found > serial ? found : serial;
}

// A large READ goes straight into the client's pages. They are only written, and never looked at.
static enum error read_prepare(struct server_request *request, struct request *plain, struct fs_call *call)
{
	void *at;
	uint64_t bytes;
	enum error error = plain->op == FS_OP_READ ? server_lent(request, PROT_READ | PROT_WRITE, &at, &bytes) : ERR_NOT_FOUND;
	if (error != ERR_OK)
		return error == ERR_NOT_FOUND ? ERR_OK : error;
	call->in = at;
	plain->in_length = (uint32_t)(plain->arg[2] < bytes ? plain->arg[2] : bytes);
	return ERR_OK;
}

// Who has not heard of a loss of what was found gets no status of it here: he asks for it, and is told.
static void lookup_losses(const struct server_request *request, uint64_t result[5])
{
	const struct request status = {.op = FS_OP_STAT, .arg = {result[0]}};
	result[3] = poison_newest(result[0], true);
	result[4] = result[4] && !poison_meets(&status, server_channel_slot(request->channel));
}

static void perform_read(struct server_request *request, const struct fs_call *call, uint64_t key)
{
	uint64_t result[5];
	lock_take(&volume_lock, false);
	enum error error = fsop_perform(volume, call, result);
	uint64_t met = met_by_reading(server_channel_peer(request->channel), call->request, result);
	lock_give(&volume_lock);
	if (met) {
		enum error durable = wait_durable(met);
		error = durable == ERR_OK ? error : durable;
	}
	if (error == ERR_OK && call->request->op == FS_OP_LOOKUP)
		lookup_losses(request, result);
	handle_seal_results(key, &request->copy, result);
	server_complete(request, error, error == ERR_OK ? result : 0);
	if (volume->damages)
		schedule_commit(); // e2fsck is to know of it
}

static void tell_loss(struct server_request *request, const struct request *plain, const uint64_t result[5])
{
	unsigned client = server_channel_slot(request->channel);
	server_complete(request, ERR_LOST, result);
	poison_told(plain, client); // behind the answer: see poison.c
}

// What an open file does not know of is told once to each, and what is not lost is on the medium then all the same.
static void perform_sync(struct server_request *request, const struct request *plain)
{
	uint64_t result[5] = {0};
	enum error error = sync_file(plain, result);
	result[1] = poison_newest(plain->arg[0], false);
	if (plain->arg[1] & FS_FSYNC_SINCE && result[1] > plain->arg[2])
		tell_loss(request, plain, result);
	else
		server_complete(request, error, result);
}

void serve_request(struct server_request *request)
{
	struct request plain = request->copy; // what was copied stays as it is: the record has its digest
	struct fs_call call = {&plain, request->out, request->in, seconds_of(plain.time), 0, 0};
	uint64_t key = server_channel_key(request->channel), former[5];
	enum error error;
	handle_unseal_arguments(key, &plain);
	if (RECOVERABLE)
		call.sum = &request->sum;
	if (request->replayed) {
		memcpy(former, request->former.result, sizeof(former));
		handle_unseal_results(key, plain.op, former);
		call.forced = former;
		(void)inject_shown("fs.replay");
		if (request->former.serial % REPLAY_BREATH == 0)
			fiber_yield(); // hundreds of them may come in a row: the loop has its turn
	}
	if (!request->replayed && poison_meets(&plain, server_channel_slot(request->channel)))
		tell_loss(request, &plain, 0);
	else if (plain.op == FS_OP_SYNC)
		server_complete(request, sync_until(serial_performed), 0);
	else if (plain.op == FS_OP_FSYNC)
		perform_sync(request, &plain);
	else if (fsop_changes(plain.op))
		perform_change(request, &call, key);
	else if ((error = read_prepare(request, &plain, &call)) != ERR_OK)
		server_complete(request, error, 0);
	else
		perform_read(request, &call, key);
}

// What was recorded has been replayed, or is lost: both are decided. A client whose ring is full asked the incarnation
// before for a commit; this one has not heard it.
void serve_replayed(void)
{
	serial_performed = server_serial_last();
	replays_done = true;
	if (serial_performed != serial_committed || volume->super->last_orphan)
		timer_arm(&commit_timer, time_now() + time_ticks_from_us(COMMIT_AFTER_REPLAY_US));
}

// An operation that was acknowledged cannot be performed again. Its objects are not what their users were told: each
// of them hears of it, once (RECOVERY rule 6).
void serve_lost(const struct server_request *request)
{
	const uint64_t *result = request->former.result;
	uint64_t key = server_channel_key(request->channel), made = handle_unseal(key, result[3]);
	poison_add(handle_unseal(key, result[4]), request->former.serial);
	poison_add(made, request->former.serial);
	struct request creation = {.op = FS_OP_CREATE};
	if (!result[3] || result[3] != result[0] || lock_with_room(fsop_need(volume, &creation)) != ERR_OK)
		return;
	fsop_retire(volume, made, seconds_of(time_now()));
	lock_give(&volume_lock);
}

// ---- answers that are doubted ----

// The way back shows that a handle was opened as it was sealed.
static bool handle_is_good(uint64_t key, uint64_t word, uint64_t handle, enum error status)
{
	return word && (handle_seal(key, handle) != word || doubt_concerns_handle(volume, handle, status));
}

static bool handles_are_good(uint64_t key, const struct request *r, const struct request *plain, enum error status)
{
	if (r->op == FS_OP_ROOT || r->op == FS_OP_STATFS || r->op == FS_OP_SYNC)
		return true;
	bool two = r->op == FS_OP_RENAME || r->op == FS_OP_LINK;
	lock_take(&volume_lock, false);
	bool good = handle_is_good(key, r->arg[0], plain->arg[0], status) &&
		    (!two || handle_is_good(key, r->arg[1], plain->arg[1], status));
	lock_give(&volume_lock);
	return good;
}

// An acknowledged operation that fails when it is performed again contradicts its record.
static bool refusal_is_strange(const struct server_request *request, enum error status)
{
	bool of_handle = status == ERR_HANDLE || status == ERR_STALE;
	if (request->replayed)
		return true;
	if (of_handle ? request->copy.grant != 0 : !doubt_concerns(volume, &request->copy, request->out, status))
		return false; // a name that is not there is a usual answer, and goes no further
	struct request plain = request->copy;
	uint64_t key = server_channel_key(request->channel);
	handle_unseal_arguments(key, &plain);
	if (of_handle)
		return handles_are_good(key, &request->copy, &plain, status);
	return status != ERR_LOST || !poison_proves(&plain);
}

// A volume that is read-only knows why.
void serve_refusing(const struct server_request *request, enum error status)
{
	const struct request *r = &request->copy;
	if (!doubts || volume->read_only || !refusal_is_strange(request, status))
		return;
	if (!doubt_is_due(doubts, server_channel_slot(request->channel), r, status, time_now()))
		return;
	log_line("fs: error %d is no answer to operation %u yet: this server may be what is wrong", (int)status, (unsigned)r->op);
	domain_panic(__FILE__, __LINE__, "an answer is doubted"); // INV-77
}

static bool session_has(const struct server_channel *client, const void *session, uint64_t handle)
{
	const struct fs_session *s = session;
	uint64_t used = load64(&s->used), word = used ? handle_seal(server_channel_key(client), handle) : 0;
	for (uint64_t i = 0; i < used && i < FS_SESSION_FILES; i++)
		if (load64(&s->handle[i]) == word)
			return true;
	return false;
}

static bool file_is_open(uint64_t handle)
{
	return server_session_any(session_has, handle);
}

enum error serve_start(struct volume *v, uint64_t base, uint64_t *mark, uint32_t commit_ms)
{
	poison_open(commit_losses(v->disk));
	if (commit_flags(v->disk) & COMMIT_FLAG_ABORTED)
		*mark = give_up_at_start(*mark);
	volume = v;
	volume->is_open = file_is_open;
	volume->doubts = RECOVERABLE;
	doubts = RECOVERABLE && !volume->fallback ? commit_doubts(v->disk) : 0;
	commit_delay_us = commit_ms * 1000ull;
	time_base = base;
	serial_performed = serial_committed = *mark;
	commit_timer.expired = commit_timer_expired;
	committer = fiber_create(committer_run, 0, "committer");
	return committer ? ERR_OK : ERR_NO_MEMORY;
}
