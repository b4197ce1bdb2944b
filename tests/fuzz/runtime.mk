# Sources that the fuzzers of the runtime link.
FUZZ_fuzz_channel_request := runtime/client_ring.c runtime/server_ring.c runtime/digest.c
