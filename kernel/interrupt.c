// Interrupt objects (interrupt.h). Sources: RISC-V AIA, "Advanced PLIC" and "IMSIC".
//
// The APLIC's registers are shared by all kernels, but each source has one writer: the kernel of the domain it is
// bound to (KERNEL.md rule 19). domaincfg is written once, by core 0, before any domain runs.
#include "kernel/interrupt.h"
#include "core-local/info.h"
#include "boot/plan.h"
#include "kernel/mesh.h"
#include "kernel/riscv/imsic.h"

#define APLIC_DOMAINCFG 0x0000
#define APLIC_DOMAINCFG_ON 0x104u // IE, DM: deliver by MSI
#define APLIC_SOURCECFG 0x0000    // + 4 * source
#define APLIC_SOURCECFG_INACTIVE 0u
#define APLIC_SOURCECFG_EDGE_RISING 4u // level sources re-pend for ever on QEMU 7.2; drivers drain the line
#define APLIC_SETIENUM 0x1edc
#define APLIC_CLRIENUM 0x1fdc
#define APLIC_TARGET 0x3000 // + 4 * source: hart index << 18 | guest file << 12 | identity

static void aplic_write(struct core *core, uint64_t offset, uint32_t value)
{
	*(volatile uint32_t *)(core->plan->aplic + offset) = value;
}

void interrupt_init(struct core *core)
{
	imsic_start_own(core->plan->identities);
	csr_write(CSR_HGEIE, 0);
	csr_write(CSR_HIE, 1ul << INTERRUPT_GUEST);
	csr_write(CSR_SIE, 1ul << INTERRUPT_EXTERNAL | 1ul << INTERRUPT_TIMER);
}

void interrupt_aplic_start(struct core *core)
{
	if (core->plan->aplic)
		aplic_write(core, APLIC_DOMAINCFG, APLIC_DOMAINCFG_ON);
}

void interrupt_take_external(struct core *core)
{
	uint32_t identity;
	bool mesh = false; // who sends, or begins anew, rings: without that there is nothing to look at
	while ((identity = imsic_claim_own()) != 0) {
		info_count(core->info, INFO_TRAP_EXTERNAL);
		unsigned n = identity - DEVICE_IDENTITY_FIRST;
		mesh |= identity == MESH_IDENTITY;
		if (identity == MESH_IDENTITY || n >= DEVICE_IDENTITY_MAX || !core->device_identity[n].used)
			continue;
		struct domain *d = core->domains[core->device_identity[n].domain];
		if (d)
			domain_ring(d, core->device_identity[n].identity);
	}
	if (mesh)
		mesh_take(core);
}

static unsigned own_identity_take(struct core *core, struct domain *d, uint32_t identity)
{
	for (unsigned n = 0; n < DEVICE_IDENTITY_MAX; n++) {
		struct device_identity *i = &core->device_identity[n];
		if (i->used)
			continue;
		*i = (struct device_identity){d->index, (uint8_t)identity, 1};
		return DEVICE_IDENTITY_FIRST + n;
	}
	return 0;
}

static void wire(struct domain *d, const struct window *w)
{
	const struct plan *plan = d->core->plan;
	uint32_t target = (uint32_t)plan->cores[d->core->id].aplic_index << 18 | (uint32_t)d->file << 12 | w->msi_data;
	aplic_write(d->core, APLIC_SOURCECFG + 4 * w->source, APLIC_SOURCECFG_EDGE_RISING);
	aplic_write(d->core, APLIC_TARGET + 4 * w->source, target);
	aplic_write(d->core, APLIC_SETIENUM, w->source);
}

enum error interrupt_bind(struct domain *d, unsigned index, uint32_t source)
{
	if (index >= d->window_count)
		return ERR_INVALID;
	if (source != 0 && (!d->core->plan->aplic || source > d->core->plan->aplic_sources))
		return ERR_INVALID;
	struct window *w = &d->windows[index];
	if (w->identity) // again, after a restart of the supervisor or the driver
		return w->source == source ? ERR_OK : ERR_EXISTS;
	uint32_t identity = domain_identity_take(d, IDENTITY_DEVICE, IDENTITY_CALLS - 1);
	if (!identity)
		return ERR_LIMIT;
	w->msi_address = d->core->imsic + d->file * PAGE_SIZE;
	w->msi_data = d->file ? identity : own_identity_take(d->core, d, identity);
	if (!w->msi_data) {
		domain_identity_give(d, identity);
		return ERR_LIMIT;
	}
	w->identity = identity;
	w->source = source;
	if (source)
		wire(d, w);
	return ERR_OK;
}

void interrupt_release(struct domain *d, struct window *w)
{
	if (!w->identity)
		return;
	if (w->source) {
		aplic_write(d->core, APLIC_CLRIENUM, w->source);
		aplic_write(d->core, APLIC_SOURCECFG + 4 * w->source, APLIC_SOURCECFG_INACTIVE);
	}
	if (!d->file)
		d->core->device_identity[w->msi_data - DEVICE_IDENTITY_FIRST].used = 0;
	domain_identity_give(d, w->identity);
	w->identity = 0;
}
