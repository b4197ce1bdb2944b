// Handles as the clients have them: sealed with a key of the channel that they were given on (RECOVERY rule 12). See handle.c.
#pragma once
#include "proto/fs.h"

// A handle for the client of that key, and back. 0, no handle, stays 0.
uint64_t handle_seal(uint64_t key, uint64_t handle);
uint64_t handle_unseal(uint64_t key, uint64_t word);
// The same for what the arguments and the results of that operation hold.
void handle_unseal_arguments(uint64_t key, struct request *request);
void handle_seal_results(uint64_t key, const struct request *sealed, uint64_t result[5]); // `sealed`: as the client wrote it
void handle_unseal_results(uint64_t key, uint16_t op, uint64_t result[5]);
