// Errors: one table for kernel calls, channels and protocols. Owns the numbers and one sentence for each.
//
// Every call returns 0 (ERR_OK) or one of these, positive. A peer's bad data is an error; one's own bad state is an
// assert. Numbers are part of the ABI: append, never reorder.
#pragma once

#define ERROR_TABLE(X)                                                                                                 \
	X(OK, "done")                                                                                                  \
	X(INVALID, "an argument is out of its range")                                                                  \
	X(HANDLE, "no such handle, or it is of an earlier epoch")                                                      \
	X(DENIED, "the caller lacks the right for this")                                                               \
	X(NO_MEMORY, "the partition has no frames left for this")                                                      \
	X(QUOTA, "the domain's quota is used up")                                                                      \
	X(LIMIT, "a fixed table is full")                                                                              \
	X(STATE, "the object is not in a state that allows this")                                                      \
	X(EXISTS, "that name is taken")                                                                                \
	X(NOT_FOUND, "no such name")                                                                                   \
	X(UNKNOWN_CALL, "no such call or operation")                                                                   \
	X(CORE_LOST, "the other core is dead or did not answer in time")                                               \
	X(REFUSED, "the server refused")                                                                               \
	X(PEER_LOST, "the service is gone and its restart rule is exhausted")                                          \
	X(TIMEOUT, "the deadline passed")                                                                              \
	X(AGAIN, "not now; try again")                                                                                 \
	X(PROTOCOL, "the peer broke the protocol")                                                                     \
	X(CORRUPT, "a checksum, magic number or structure is wrong")                                                   \
	X(UNSUPPORTED, "a feature that is not supported")                                                              \
	X(DEVICE, "the device reported an error")                                                                      \
	X(NO_SPACE, "no space left")                                                                                   \
	X(NOT_DIRECTORY, "not a directory")                                                                            \
	X(IS_DIRECTORY, "is a directory")                                                                              \
	X(NOT_EMPTY, "the directory is not empty")                                                                     \
	X(NAME_TOO_LONG, "a name is too long")                                                                         \
	X(READ_ONLY, "the file system is read-only")                                                                   \
	X(STALE, "the file handle's inode is gone")                                                                    \
	X(TOO_BIG, "larger than a file or a buffer may be")                                                            \
	X(LOOP, "too many symbolic links")                                                                             \
	X(LINKS, "too many links")                                                                                     \
	X(INJECTED, "an injected error")                                                                               \
	X(LOST, "the outcome was lost with a corrupted record")                                                        \
	X(ALIVE, "the core answers its neighbour: it is neither dead nor silent")                                      \
	X(RESTARTED, "the server died in this call or before it; its next incarnation is there")                       \
	X(CANCELLED, "its client took it back before it was performed")

enum error {
#define X(name, sentence) ERR_##name,
	ERROR_TABLE(X)
#undef X
	ERROR_COUNT
};
