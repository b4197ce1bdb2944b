// See fake_host.h.
#include "fake_host.h"
#include "runtime/device.h"
#include "tests/traced_points.h"
#include "runtime/runtime.h"

uint64_t (*fake_read)(uint64_t address, unsigned bytes);
void (*fake_write)(uint64_t address, unsigned bytes, uint64_t value);
struct kernel_result (*fake_call)(enum call number, const uint64_t a[6]);
char fake_log[256];
unsigned fake_log_lines;
uint64_t fake_time;
bool fake_restarted;
jmp_buf fake_exit;
int fake_exit_code;
const char *fake_inject_name;
enum error fake_inject_error;
uint32_t inject_any;
static uint64_t random_state;

void fake_reset(void)
{
	fake_log[0] = 0;
	fake_log_lines = 0;
	fake_restarted = false;
	fake_inject_name = 0;
	random_state = 1;
}

uint32_t fake_random(void)
{
	random_state = random_state * 6364136223846793005ull + 1442695040888963407ull;
	return (uint32_t)(random_state >> 33);
}

bool fake_exits(void (*f)(void))
{
	if (setjmp(fake_exit) != 0)
		return true;
	f();
	return false;
}

uint8_t device_read8(uint64_t address)
{
	return (uint8_t)fake_read(address, 1);
}

uint16_t device_read16(uint64_t address)
{
	return (uint16_t)fake_read(address, 2);
}

uint32_t device_read32(uint64_t address)
{
	return (uint32_t)fake_read(address, 4);
}

void device_write8(uint64_t address, uint8_t value)
{
	fake_write(address, 1, value);
}

void device_write16(uint64_t address, uint16_t value)
{
	fake_write(address, 2, value);
}

void device_write32(uint64_t address, uint32_t value)
{
	fake_write(address, 4, value);
}

void device_fence_doorbell(void)
{
}

void device_fence_claimed(void)
{
}

void device_fence_publish(void)
{
}

void device_fence_full(void)
{
}

struct kernel_result kernel_call(enum call number, uint64_t a0, uint64_t a1, uint64_t a2, uint64_t a3, uint64_t a4,
				 uint64_t a5)
{
	const uint64_t a[6] = {a0, a1, a2, a3, a4, a5};

	return fake_call(number, a);
}

void log_line(const char *format, ...)
{
	va_list list;

	va_start(list, format);
	vsnprintf(fake_log, sizeof(fake_log), format, list);
	va_end(list);
	fake_log_lines++;
}

uint64_t time_now(void)
{
	return fake_time++;
}

uint64_t time_ticks_from_us(uint64_t us)
{
	return us;
}

uint32_t self_epoch(void)
{
	return 7;
}

bool self_restarted(void)
{
	return fake_restarted;
}

_Noreturn void domain_exit(int code)
{
	fake_exit_code = code;
	longjmp(fake_exit, 1);
}

_Noreturn void domain_panic(const char *file, int line, const char *what)
{
	fprintf(stderr, "%s:%d: %s\n", file, line, what);
	fake_exit_code = FAKE_PANIC;
	longjmp(fake_exit, 1);
}

enum error inject_fire(struct inject_point *point)
{
	if (fake_inject_name == 0 || strcmp(point->name, fake_inject_name) != 0)
		return ERR_OK;
	fake_inject_name = 0;
	return fake_inject_error;
}
