// Counts the instructions of all harts between two marks (proto/mark.h) that a measured program executes: a plugin of QEMU.
//
//   qemu-system-riscv64 -plugin build/bench/count.so,out=FILE ..
//
// Where -icount cannot be had (Linux does not boot on two harts with it) or says nothing (what waits for a disk), harts run on threads of their own, and
// each entry into a piece of translated code adds its instructions to the count of its hart; one that sleeps in wfi adds nothing.
// FILE gets a line "SERIES OPERATIONS INSTRUCTIONS OWN" for each batch; own ones are those of the hart that marked. A piece that is left by a fault before its end counts as a whole: the error
// is of a few instructions for a fault. Owns the counts and the file; what the guest marks is checked, since any program in it can do so.
#include "count.h"
#include "plugin.h"
#include "proto/mark.h"
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HARTS 64u

// Each written by its own hart's thread alone, and on a cache line of its own.
static struct {
	_Alignas(64) uint64_t instructions;
} hart[HARTS];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; // of the two that follow: any hart can mark
static struct batch batch;
static FILE *out;

// A mark in a piece of code: its number, and how many instructions the piece has from it on, which counted when the piece was entered.
struct place {
	unsigned number;
	unsigned rest;
};

static uint64_t instructions_of_all(void)
{
	uint64_t sum = 0;
	for (unsigned i = 0; i < HARTS; i++)
		sum += __atomic_load_n(&hart[i].instructions, __ATOMIC_RELAXED);
	return sum;
}

static void piece_entered(unsigned vcpu, void *length)
{
	uint64_t *mine = &hart[vcpu % HARTS].instructions;
	__atomic_store_n(mine, *mine + (uintptr_t)length, __ATOMIC_RELAXED);
}

static void mark_reached(unsigned vcpu, void *context)
{
	const struct place *place = context;
	char line[MARK_TEXT_MAX + 64];
	uint64_t own = hart[vcpu % HARTS].instructions - place->rest;
	pthread_mutex_lock(&lock);
	if (batch_mark(&batch, place->number, instructions_of_all() - place->rest, own, line, sizeof(line))) {
		fputs(line, out);
		fflush(out);
	}
	pthread_mutex_unlock(&lock);
}

// The mark's number; 0: the instruction is none.
static unsigned mark_of(const struct qemu_plugin_insn *insn)
{
	uint32_t word;
	if (qemu_plugin_insn_size(insn) != sizeof(word))
		return 0;
	uintptr_t data = qemu_plugin_insn_data(insn, &word, sizeof(word));
	if (qemu_plugin_version < 3)
		memcpy(&word, (const void *)data, sizeof(word));
	return (word & 0xfffff) == MARK_INSTRUCTION ? word >> 20 : 0;
}

static void piece_translated(plugin_id_t id, struct qemu_plugin_tb *tb)
{
	size_t length = qemu_plugin_tb_n_insns(tb);
	(void)id;
	qemu_plugin_register_vcpu_tb_exec_cb(tb, piece_entered, PLUGIN_NO_REGISTERS, (void *)(uintptr_t)length);
	for (size_t i = 0; i < length; i++) {
		struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, i);
		unsigned number = mark_of(insn);
		struct place *place = number ? malloc(sizeof(*place)) : 0; // as long as QEMU: it may run the piece at any time
		if (!place)
			continue;
		*place = (struct place){.number = number, .rest = (unsigned)(length - i)};
		qemu_plugin_register_vcpu_insn_exec_cb(insn, mark_reached, PLUGIN_NO_REGISTERS, place);
	}
}

int qemu_plugin_version = 1;

// QEMU looks at the version before it calls us, and no version is right for all of them.
__attribute__((constructor)) static void version_find(void)
{
	if (qemu_plugin_register_vcpu_tb_exec_cond_cb)
		qemu_plugin_version = 3;
}

int qemu_plugin_install(plugin_id_t id, const void *info, int count, char **words)
{
	(void)info;
	if (count != 1 || strncmp(words[0], "out=", 4) != 0 || !(out = fopen(words[0] + 4, "w"))) {
		fprintf(stderr, "count: it wants out=FILE, a file that can be written\n");
		return 1;
	}
	qemu_plugin_register_vcpu_tb_trans_cb(id, piece_translated);
	return 0;
}
