// The disk's driver goes and comes back while nobody uses it: from the unbind to the first 4 KiB that the disk gave again.
// Owns the driver while it runs; nothing may be mounted from the disk. If it dies between unbind and bind there is no disk.
#define _GNU_SOURCE
#include "driver.h"
#include "figures.h"
#include <fcntl.h>
#include <unistd.h>

static char sector[4096] __attribute__((aligned(4096)));

static void rebind_many(void *context, uint64_t operations)
{
	(void)context;
	for (uint64_t i = 0; i < operations; i++) {
		driver_unbind();
		driver_bind();
		int disk = open(driver_disk(), O_RDONLY | O_DIRECT);
		figure_check(disk >= 0 && read(disk, sector, sizeof(sector)) == sizeof(sector), "first read");
		close(disk);
	}
}

int main(void)
{
	figure_series("rebind", rebind_many, 0, 30, 1);
	return 0;
}
