// The operations of the protocol over the core. See ops.c.
#pragma once
#include "servers/fs/volume.h"

struct fs_call {
	const struct request *request; // validated copy
	const uint8_t *out;
	uint8_t *in;
	uint64_t now; // seconds since 1970
	const uint64_t *forced; // a replay: the results that were recorded; 0: the first time
	struct payload_sum *sum; // of `out`, when a file's content is copied from there; 0: nobody wants it
};

extern const struct protocol fs_protocol;

// True when the operation changes the volume (it runs alone, is recorded, and joins a commit).
bool fsop_changes(uint16_t op);
// *pending: the inode has changes that are not in place yet, of any kind. The lock is shared.
enum error fsop_pending(struct volume *v, uint64_t handle, bool *pending);
// Whose content that operation changed (up to two handles, else 0): a file's bytes or size, a directory's names.
void fsop_content_changed(const struct request *request, const uint64_t result[5], uint64_t handle[2]);
// Blocks that the operation is likely to make dirty at most.
uint32_t fsop_need(const struct volume *v, const struct request *request);
// Performs it: wholly, or with an error and no effect. SYNC is not here: it is a matter of commits. ERR_LIMIT,
// ERR_NO_MEMORY: too much would be dirty; to be tried again after a commit, and then after fsop_shrink. ERR_AGAIN: to be
// tried again after a commit.
enum error fsop_perform(struct volume *v, const struct fs_call *call, uint64_t result[5]);
// For an operation that frees more than fits into a commit: cuts a piece off the file that it is about, as an operation
// of its own. It may be committed without the operation: performed again, that ends in the same. ERR_TOO_BIG: nothing to cut.
enum error fsop_shrink(struct volume *v, const struct fs_call *call);
// Frees the orphans that nobody has open, as far as that fits into the next commit. The lock is held alone, and the copy of
// fsop_commit_begin follows before it is given back: so nothing can use an inode or block before its freeing is durable.
void fsop_free_orphans(struct volume *v, uint64_t now);
// The creation of that handle is lost: made and freed again, so that nobody else gets it, and the place is not skipped.
void fsop_retire(struct volume *v, uint64_t handle, uint64_t now);
// A commit of all that is dirty in four steps: fsop_commit_begin copies (*count 0: there was nothing), fsop_commit_write
// makes it durable, commit_checkpoint(&v->log) writes in place what only the journal has, fsop_commit_end cleans. The second
// and the third wait, and may be repeated after an error. `mark`: highest serial performed.
enum error fsop_commit_begin(struct volume *v, uint64_t mark, uint32_t *count);
enum error fsop_commit_write(struct volume *v);
void fsop_commit_end(struct volume *v);
