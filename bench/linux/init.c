// The first process of the Linux side: mounts what programs need, loads the modules in /modules in the order of their
// names, mounts the disk, says `ready` (the end of the boot), runs the lines of /script, and powers off.
//
// A line is a program and its words; `mount` and `umount` are its own, for /disk; `icount` says that this machine counts
// instructions. Owns the whole machine. If it dies Linux panics, and by its command line reboots, which QEMU is told
// to take for the end.
#define _GNU_SOURCE
#include "driver.h"
#include "figures.h"
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define WORDS_MAX 16

static void modules_load(void)
{
	struct dirent **found;
	int count = scandir("/modules", &found, 0, alphasort);
	for (int i = 0; i < count; i++) {
		char path[300];
		if (found[i]->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "/modules/%s", found[i]->d_name);
		int file = open(path, O_RDONLY);
		if (file < 0 || syscall(SYS_finit_module, file, "", 0) != 0)
			perror(path);
		close(file);
	}
}

static void file_systems_mount(void)
{
	mount("proc", "/proc", "proc", 0, 0);
	mount("sys", "/sys", "sysfs", 0, 0);
	mount("dev", "/dev", "devtmpfs", 0, 0);
}

// Linux could not open the console for us: before devtmpfs there was none.
static void console_take(void)
{
	int console = open("/dev/console", O_RDWR);
	for (int i = 0; i < 3; i++)
		dup2(console, i);
	if (console > 2)
		close(console);
}

static void disk_mount(void)
{
	if (mount(driver_disk(), "/disk", "ext4", 0, 0) != 0)
		perror("/disk");
}

static void line_run(char *line)
{
	char *words[WORDS_MAX + 1] = {0}, *rest = line;
	int count = 0, status = 0;
	while (count < WORDS_MAX && (words[count] = strtok_r(rest, " \n", &rest)) != 0)
		count++;
	if (count == 0)
		return;
	pid_t child = fork();
	if (child == 0) {
		execv(words[0], words);
		perror(words[0]);
		_exit(127);
	}
	waitpid(child, &status, 0);
	if (status != 0)
		printf("%s ended with status %#x\n", words[0], (unsigned)status);
}

static void script_run(void)
{
	char line[256];
	FILE *script = fopen("/script", "r");
	while (script && fgets(line, sizeof(line), script)) {
		if (strcmp(line, "mount\n") == 0)
			disk_mount();
		else if (strcmp(line, "umount\n") == 0)
			umount("/disk");
		else if (strcmp(line, "icount\n") == 0)
			setenv("BENCH_ICOUNT", "1", 1);
		else
			line_run(line);
		fflush(stdout);
	}
}

int main(void)
{
	file_systems_mount();
	console_take();
	modules_load();
	disk_mount();
	printf("ready\n");
	fflush(stdout);
	script_run();
	sync();
	printf("script done\n");
	fflush(stdout);
	reboot(RB_POWER_OFF);
	return 1;
}
