# Sources that each test of the benchmarks' tools links.
TEST_test_batch := bench/count/batch.c
