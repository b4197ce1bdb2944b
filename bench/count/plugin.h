// What we use of QEMU's interface for plugins (version 1: QEMU 4.2 to 8.1; 3 and later: from 9.1 on), declared here since Debian ships no header of it. By its
// documentation ("QEMU TCG Plugins"): a plugin is a shared object with qemu_plugin_version and qemu_plugin_install. Keeps nothing.
#pragma once
#include <stddef.h>
#include <stdint.h>

typedef uint64_t plugin_id_t;
struct qemu_plugin_tb;   // instructions that QEMU translates in one piece
struct qemu_plugin_insn; // one of them; lives as long as the call that translates

enum plugin_registers { PLUGIN_NO_REGISTERS }; // what a callback touches of the processor

// The interface that this is written for: 1 or 3, as the QEMU has it that loads us.
extern __attribute__((visibility("default"))) int qemu_plugin_version;
__attribute__((visibility("default"))) int qemu_plugin_install(plugin_id_t id, const void *info, int count, char **words);

void qemu_plugin_register_vcpu_tb_trans_cb(plugin_id_t id, void (*translated)(plugin_id_t id, struct qemu_plugin_tb *tb));
void qemu_plugin_register_vcpu_tb_exec_cb(struct qemu_plugin_tb *tb, void (*entered)(unsigned vcpu, void *context),
					  enum plugin_registers registers, void *context);
void qemu_plugin_register_vcpu_insn_exec_cb(struct qemu_plugin_insn *insn, void (*reached)(unsigned vcpu, void *context),
					    enum plugin_registers registers, void *context);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *tb);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *tb, size_t index);
// Version 1: where its bytes are; the rest is not looked at. Version 3: copies them to there, and says how many.
uintptr_t qemu_plugin_insn_data(const struct qemu_plugin_insn *insn, void *to, size_t bytes);
// Not used; only a QEMU of version 3 and later has it.
__attribute__((weak)) void qemu_plugin_register_vcpu_tb_exec_cond_cb(void);
size_t qemu_plugin_insn_size(const struct qemu_plugin_insn *insn);
