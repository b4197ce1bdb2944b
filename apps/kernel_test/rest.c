// Tables of tests that follow.
#include "apps/kernel_test/test.h"
const struct kernel_test channel_tests[] = {{0,0}}, endings_tests[] = {{0,0}}, doorbell_tests[]={{0,0}}, leak_tests[]={{0,0}};
