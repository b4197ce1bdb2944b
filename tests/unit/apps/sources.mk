# Shell and client library: what each test links besides itself.
TEST_test_line := apps/shell/line.c
TEST_test_parse := apps/shell/parse.c
TEST_test_sha256 := apps/shell/sha256.c
TEST_test_file := runtime/file.c runtime/path.c tests/unit/apps/fake_fs.c
TEST_test_mutate := apps/storm/mutate.c
