// Seals handles, so that a client has those that it was given and can make no other.
//
// Owns nothing, not even the key: that is the channel's (server_channel_key), which the kernel keeps for each incarnation of this
// server and never shows to a client. So handles outlive us, are worthless on another channel, and nothing has to be restored.
// Inside the server a handle is inode and generation; serve.c unseals what comes in and seals what goes out, records
// and replays included. The whole word is permuted by a keyed Feistel network: of 2^64 words those are good that unseal
// to a living inode and its very generation, and a guess finds one of n files with a chance of n in 2^64. Like the
// digests of the channel (abi/channel.h) it is a fast mix and no cryptography. Constant work: the same rounds for each word.
#include "servers/fs/handle.h"

#define ROUNDS 4u // a bit of either half has gone through all of both after three

static uint32_t round_mix(uint64_t key, unsigned round, uint32_t half)
{
	return (uint32_t)(channel_mix(key + round * 0x9e3779b97f4a7c15ull, half) >> 32);
}

uint64_t handle_seal(uint64_t key, uint64_t handle)
{
	uint32_t low = (uint32_t)handle, high = (uint32_t)(handle >> 32);
	if (!handle)
		return 0;
#pragma GCC unroll 2
	for (unsigned i = 0; i < ROUNDS; i += 2) {
		high ^= round_mix(key, i, low);
		low ^= round_mix(key, i + 1, high);
	}
	return (uint64_t)high << 32 | low;
}

uint64_t handle_unseal(uint64_t key, uint64_t word)
{
	uint32_t low = (uint32_t)word, high = (uint32_t)(word >> 32);
	if (!word)
		return 0;
#pragma GCC unroll 2
	for (unsigned i = ROUNDS; i > 0; i -= 2) {
		low ^= round_mix(key, i - 1, high);
		high ^= round_mix(key, i - 2, low);
	}
	return (uint64_t)high << 32 | low;
}

void handle_unseal_arguments(uint64_t key, struct request *request)
{
	switch (request->op) {
	case FS_OP_ROOT:
	case FS_OP_STATFS:
	case FS_OP_SYNC:
		return;
	case FS_OP_RENAME:
	case FS_OP_LINK:
		request->arg[1] = handle_unseal(key, request->arg[1]);
		break;
	default:
		break;
	}
	request->arg[0] = handle_unseal(key, request->arg[0]);
}

// Bit n: result n is a handle, or 0.
static unsigned results_of(uint16_t op)
{
	switch (op) {
	case FS_OP_ROOT:
	case FS_OP_LOOKUP:
		return 1;
	case FS_OP_CREATE:
	case FS_OP_MKDIR:
	case FS_OP_SYMLINK:
		return 1 | 8 | 16;
	case FS_OP_WRITE:
	case FS_OP_TRUNCATE:
	case FS_OP_UNLINK:
	case FS_OP_RMDIR:
	case FS_OP_RENAME:
	case FS_OP_LINK:
	case FS_OP_CHMOD:
	case FS_OP_UTIMES:
		return 8 | 16;
	default:
		return 0;
	}
}

// Most of what results name was sealed before: by the client's arguments.
void handle_seal_results(uint64_t key, const struct request *sealed, uint64_t result[5])
{
	switch (sealed->op) {
	case FS_OP_ROOT:
	case FS_OP_LOOKUP:
		result[0] = handle_seal(key, result[0]);
		return;
	case FS_OP_CREATE:
	case FS_OP_MKDIR:
	case FS_OP_SYMLINK:
		result[0] = handle_seal(key, result[0]);
		result[3] = result[3] ? result[0] : 0;
		result[4] = sealed->arg[0];
		return;
	case FS_OP_RENAME:
	case FS_OP_LINK:
		result[3] = sealed->arg[1];
		break;
	default:
		break;
	}
	if (results_of(sealed->op) & 16)
		result[4] = sealed->arg[0];
}

void handle_unseal_results(uint64_t key, uint16_t op, uint64_t result[5])
{
	unsigned handles = results_of(op);
	for (unsigned i = 0; i < 5; i++)
		if (handles >> i & 1)
			result[i] = handle_unseal(key, result[i]);
}
