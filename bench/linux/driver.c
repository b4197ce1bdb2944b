// Writes the device's name into the driver's files; the name is found, not assumed.
#define _GNU_SOURCE
#include "driver.h"
#include "figures.h"
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define DRIVER "/sys/bus/virtio/drivers/virtio_blk"

static char device[64];

// The first name in `folder` that begins so; "" when there is none.
static void name_find(const char *folder, const char *begin, char *name, size_t room)
{
	DIR *listing = opendir(folder);
	figure_check(listing != 0, folder);
	*name = 0;
	for (struct dirent *entry; (entry = readdir(listing)) != 0;)
		if (strncmp(entry->d_name, begin, strlen(begin)) == 0)
			snprintf(name, room, "%s", entry->d_name);
	closedir(listing);
}

static void driver_tell(const char *path)
{
	int file = open(path, O_WRONLY);
	figure_check(file >= 0, path);
	figure_check(write(file, device, strlen(device)) == (ssize_t)strlen(device), path);
	close(file);
}

void driver_unbind(void)
{
	name_find(DRIVER, "virtio", device, sizeof(device));
	driver_tell(DRIVER "/unbind");
}

void driver_bind(void)
{
	driver_tell(DRIVER "/bind");
}

const char *driver_disk(void)
{
	static char path[80];
	char name[64];
	do
		name_find("/sys/block", "vd", name, sizeof(name));
	while (!*name);
	snprintf(path, sizeof(path), "/dev/%s", name);
	return path;
}
