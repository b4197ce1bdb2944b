// Mutations of instructions: each class on known encodings (as riscv64-unknown-elf-as makes them), and over all halfwords.
#include "apps/storm/mutate.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

static uint32_t mutate_one(enum mutation kind, uint32_t instruction, uint64_t random)
{
	uint32_t mutated;
	assert_true(mutate_instruction(kind, instruction, random, &mutated));
	return mutated;
}

static void refuses(enum mutation kind, uint32_t instruction)
{
	uint32_t mutated;
	assert_false(mutate_instruction(kind, instruction, 12345, &mutated));
	assert_int_equal(mutated, instruction);
}

static void test_mutate_length(void **state)
{
	(void)state;
	assert_int_equal(mutate_length(0x0513), 4); // addi
	assert_int_equal(mutate_length(0x8082), 2); // ret
	assert_int_equal(mutate_length(0x0001), 2); // c.nop
}

static void test_mutate_registers(void **state)
{
	(void)state;
	// random 0: the next register
	assert_int_equal(mutate_one(MUTATION_DESTINATION, 0x00c58533, 0), 0x00c585b3); // add a0,a1,a2 -> add a1,a1,a2
	assert_int_equal(mutate_one(MUTATION_SOURCE, 0x00c58533, 0), 0x00c60533);      // -> add a0,a2,a2
	assert_int_equal(mutate_one(MUTATION_SOURCE, 0x00c58533, 31ull << 32), 0x00d58533); // -> add a0,a1,a3
	assert_int_equal(mutate_one(MUTATION_DESTINATION, 0x00000f97, 0), 0x00000017); // auipc t6,0 -> auipc zero,0
	assert_int_equal(mutate_one(MUTATION_SOURCE, 0x00b53023, 0), 0x00c53023);      // sd a1,0(a0) -> sd a2,0(a0)
	assert_int_equal(mutate_one(MUTATION_SOURCE, 0x852e, 0), 0x8532);              // mv a0,a1 -> mv a0,a2
	assert_int_equal(mutate_one(MUTATION_DESTINATION, 0x852e, 0), 0x85ae);         // mv a0,a1 -> mv a1,a1
	assert_int_equal(mutate_one(MUTATION_DESTINATION, 0x4f81, 0), 0x4081);         // li t6,0 -> li ra,0: not x0
	assert_int_equal(mutate_one(MUTATION_SOURCE, 0x8082, 0), 0x8182);              // jr ra -> jr gp: not x2
	refuses(MUTATION_DESTINATION, 0x00b53023);                                     // a store has none
	refuses(MUTATION_DESTINATION, 0x00b50463);                                     // nor has a branch
	refuses(MUTATION_SOURCE, 0x00000073);                                          // ecall
}

static void test_mutate_pointer(void **state)
{
	(void)state;
	assert_int_equal(mutate_one(MUTATION_POINTER, 0x0085b503, 0), 0x00863503); // ld a0,8(a1) -> ld a0,8(a2)
	assert_int_equal(mutate_one(MUTATION_POINTER, 0x00b53023, 0), 0x00b5b023); // sd a1,0(a0) -> sd a1,0(a1)
	assert_int_equal(mutate_one(MUTATION_POINTER, 0x6588, 0), 0x6608);         // c.ld a0,8(a1) -> 8(a2)
	assert_int_equal(mutate_one(MUTATION_POINTER, 0x00c5a52f, 0), 0x00c6252f); // amoadd.w a0,a2,(a1) -> (a2)
	refuses(MUTATION_POINTER, 0x00c58533);
	refuses(MUTATION_POINTER, 0x852e);
}

static void test_mutate_branches(void **state)
{
	(void)state;
	assert_int_equal(mutate_one(MUTATION_INVERT, 0x00b50463, 0), 0x00b51463); // beq -> bne
	assert_int_equal(mutate_one(MUTATION_INVERT, 0x00b56463, 0), 0x00b57463); // bltu -> bgeu
	assert_int_equal(mutate_one(MUTATION_INVERT, 0xc509, 0), 0xe509);         // c.beqz -> c.bnez
	assert_int_equal(mutate_one(MUTATION_BRANCH, 0x00b50463, 0), 0x00b50563); // beq a0,a1,+8 -> +10
	assert_int_equal(mutate_one(MUTATION_BRANCH, 0x00b50463, 2), 0x00b50063); // -> +0
	assert_int_equal(mutate_one(MUTATION_BRANCH, 0x008000ef, 0), 0x00a000ef); // jal ra,+8 -> +10
	assert_int_equal(mutate_one(MUTATION_BRANCH, 0xa021, 0), 0xa029);         // c.j +8 -> +10
	refuses(MUTATION_BRANCH, 0x8082);                                         // no offset in it
	refuses(MUTATION_INVERT, 0x008000ef);
	refuses(MUTATION_INVERT, 0xa021);
}

static void test_mutate_immediate(void **state)
{
	(void)state;
	assert_int_equal(mutate_one(MUTATION_IMMEDIATE, 0x00158513, 1), 0x00258513); // addi a0,a1,1 -> 2
	assert_int_equal(mutate_one(MUTATION_IMMEDIATE, 0x00158513, 0), 0x00058513); // -> 0
	assert_int_equal(mutate_one(MUTATION_IMMEDIATE, 0x00058513, 0), 0xfff58513); // 0 -> -1
	assert_int_equal(mutate_one(MUTATION_IMMEDIATE, 0x0085b503, 1), 0x0095b503); // ld a0,8(a1) -> 9(a1)
	assert_int_equal(mutate_one(MUTATION_IMMEDIATE, 0x00b53423, 1), 0x00b534a3); // sd a1,8(a0) -> 9(a0)
	assert_int_equal(mutate_one(MUTATION_IMMEDIATE, 0x00359513, 1), 0x00459513); // slli a0,a1,3 -> 4
	assert_int_equal(mutate_one(MUTATION_IMMEDIATE, 0x4505, 1), 0x4509);         // li a0,1 -> 2
	assert_int_equal(mutate_one(MUTATION_IMMEDIATE, 0x6588, 1), 0x6988);         // c.ld a0,8(a1) -> 16(a1)
	refuses(MUTATION_IMMEDIATE, 0x00c58533);
	refuses(MUTATION_IMMEDIATE, 0x852e);
}

static void test_mutate_drop(void **state)
{
	(void)state;
	assert_int_equal(mutate_one(MUTATION_DROP, 0x00b53023, 0), 0x00000013);
	assert_int_equal(mutate_one(MUTATION_DROP, 0x8082, 0), 0x0001);
	refuses(MUTATION_DROP, 0x00000013);
	refuses(MUTATION_DROP, 0x0001);
}

// Whatever the instruction: a mutation is another one of the same length, and not what the C extension calls illegal.
static void mutate_any(uint32_t instruction, uint64_t random)
{
	for (unsigned kind = 0; kind < MUTATIONS; kind++) {
		uint32_t mutated;
		bool applies = mutate_instruction((enum mutation)kind, instruction, random, &mutated);
		assert_int_equal(applies, mutated != instruction);
		assert_int_equal(mutate_length((uint16_t)mutated), mutate_length((uint16_t)instruction));
		if (mutate_length((uint16_t)mutated) == 2)
			assert_true(mutated != 0 && mutated <= 0xffff);
	}
}

static void test_mutate_all(void **state)
{
	(void)state;
	uint64_t random = 88172645463325252ull;
	for (uint32_t i = 1; i <= 0xffff; i++) {
		for (unsigned n = 0; n < 4; n++) {
			random ^= random << 13, random ^= random >> 7, random ^= random << 17;
			if ((i & 3) == 3)
				mutate_any(i | (uint32_t)(random >> 32) << 16, random);
			else if ((i & 0xe003) != 0 || (i & 0x1fe0) != 0) // those are illegal before and after
				mutate_any(i, random);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_mutate_length),   cmocka_unit_test(test_mutate_registers),
		cmocka_unit_test(test_mutate_pointer),  cmocka_unit_test(test_mutate_branches),
		cmocka_unit_test(test_mutate_immediate), cmocka_unit_test(test_mutate_drop),
		cmocka_unit_test(test_mutate_all),
	};
	return cmocka_run_group_tests(tests, 0, 0);
}
