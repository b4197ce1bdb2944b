// File server: start-up. Opens the disk, recovers, mounts, or falls back to memory, and serves.
//
// Owns: the decision what to serve. Fallback only at boot (INV-54): a later incarnation serves the memory file
// system only if the log area says that this boot began so; a driver that is down for a moment is waited for.
// Arguments (manifest): "cache=KIB", "log=KIB", "commit=MS", "nofallback", any of them, with spaces between.
#include "proto/fs.h"
#include "runtime/component.h"
#include "runtime/fiber.h"
#include "runtime/runtime.h"
#include "servers/fs/block.h"
#include "servers/fs/ops.h"
#include "servers/fs/serve.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CACHE_KIB 8192u    // holds the directories and hot files of some hundred MiB
#define CACHE_FIRST 0x50000u // bytes of it at the start, few more than 64 blocks of 4 KiB; the rest when it is needed
#define LOG_KIB 2048u      // with a quarter of it a commit: 512 KiB, some milliseconds of a disk
#define FALLBACK_KIB 2048u // size of the memory file system
#define FALLBACK_LOG_KIB 512u
#define COMMIT_MS 1000u    // an acknowledged change that nobody syncs is on the disk after this time
#define WORKERS 8u
#define RESERVE_PAGES 256u // frames that the cache leaves to others on its core
#define TIME_OF_NO_CLOCK 1700000000u // when neither clock nor superblock says anything

static struct volume volume;
static struct disk disk;

static uint32_t argument_number(const char *key, uint32_t otherwise)
{
	char text[MANIFEST_ARGUMENT_SIZE + 1] = {0};
	memcpy(text, self_manifest()->argument, MANIFEST_ARGUMENT_SIZE);
	const char *at = strstr(text, key);
	unsigned long n = at ? strtoul(at + strlen(key), 0, 10) : 0;
	return n ? (uint32_t)n : otherwise;
}

static bool argument_has(const char *word)
{
	char text[MANIFEST_ARGUMENT_SIZE + 1] = {0};
	memcpy(text, self_manifest()->argument, MANIFEST_ARGUMENT_SIZE);
	return strstr(text, word) != 0;
}

static void *take_bytes(size_t bytes)
{
	struct kernel_result r = kcall(CALL_memory_alloc, bytes / PAGE_SIZE);
	return r.error == ERR_OK ? (void *)r.value[0] : 0;
}

// More cache, unless others on this core would then have nothing left.
static void *take_more(size_t bytes)
{
	struct info_page info;
	if (!info_read(self_core(), &info) || info.frames_free < bytes / PAGE_SIZE + RESERVE_PAGES)
		return 0;
	return take_bytes(bytes);
}

static bool take_cache(struct cache_memory *memory)
{
	*memory = (struct cache_memory){
		.first = take_bytes(CACHE_FIRST),
		.first_bytes = CACHE_FIRST,
		.bytes_max = (size_t)argument_number("cache=", CACHE_KIB) * 1024,
		.more = take_more,
	};
	return memory->first != 0;
}

static uint64_t seconds_now(void)
{
	return time_us_from_ticks(time_now()) / 1000000;
}

// The same in all incarnations of a boot, and never before what the volume has seen.
static uint64_t boot_time_base(void)
{
	uint64_t base = commit_time_base(&disk);
	if (base)
		return base;
	uint64_t newest = volume_newest_time(&volume);
	if (newest < TIME_OF_NO_CLOCK / 2)
		newest = TIME_OF_NO_CLOCK;
	return newest - seconds_now();
}

static void announce(void)
{
	char commits[48] = "";
	if (self_restarted())
		return;
	if (!volume.read_only)
		snprintf(commits, sizeof(commits), ", commits of up to %lu KiB",
			 (unsigned long)((uint64_t)volume_dirty_limit(&volume) * volume.block_size >> 10));
	log_line("fs: %s, %lu MiB in blocks of %lu bytes, %lu MiB free, %s; cache %lu KiB%s", volume_kind(&volume),
		 (unsigned long)((uint64_t)volume.blocks * volume.block_size >> 20), (unsigned long)volume.block_size,
		 (unsigned long)((uint64_t)volume.super->free_blocks_count * volume.block_size >> 20),
		 volume.read_only ? "read-only" : "read-write",
		 (unsigned long)((uint64_t)cache_capacity(&volume.cache) * volume.block_size >> 10), commits);
}

// ---- fallback ----

// A commit to memory waits for nothing: else the loop would have its turn only when all of it is done.
static void memory_breathe(struct disk *over)
{
	(void)over;
	fiber_yield();
}

static enum error start_fallback(const char *why)
{
	struct cache_memory cache;
	uint64_t mark = 0;
	void *memory = take_bytes(FALLBACK_KIB * 1024), *log = take_bytes(FALLBACK_LOG_KIB * 1024);
	if (!memory || !log || !take_cache(&cache))
		return ERR_NO_MEMORY;
	log_line("fs: NO USABLE DISK: %s", why);
	log_line("fs: serving an empty file system in memory (%u KiB); it is lost at power off and when fs restarts",
		 FALLBACK_KIB);
	if (disk.log)
		commit_set_facts(&disk, 0, COMMIT_FLAG_FALLBACK);
	memory_disk_format(memory, FALLBACK_KIB * 1024, TIME_OF_NO_CLOCK);
	memory_disk_open(&disk, memory, FALLBACK_KIB * 1024, log, FALLBACK_LOG_KIB * 1024);
	disk.breathe = memory_breathe;
	commit_format(&disk);
	enum error error = volume_open(&volume, &disk, &cache);
	volume.fallback = true;
	return error == ERR_OK ? serve_start(&volume, boot_time_base(), &mark, COMMIT_MS) : error;
}

// A driver that never ran, for want of a device, is held in the name of the supervisor, or absent from our own domain: then no
// incarnation of ours had a disk. A driver that was given up later is held in its own name.
static bool never_had_driver(void)
{
	if (component_absent("block0"))
		return true;
	struct info_service driver = {0}, supervisor = {0};
	unsigned driver_core = 0, supervisor_core = 0;
	(void)info_find_service("block0", &driver_core, &driver); // false: not up
	return driver.state == SERVICE_HELD && info_find_service("supervisor", &supervisor_core, &supervisor) &&
	       driver_core == supervisor_core && driver.domain == supervisor.domain;
}

static bool may_fall_back(void)
{
	bool began_so = disk.log ? (commit_flags(&disk) & COMMIT_FLAG_FALLBACK) != 0 : never_had_driver();
	return (!self_restarted() || began_so) && !argument_has("nofallback");
}

static enum error refuse_or_fall_back(enum error error, const char *why)
{
	if (may_fall_back())
		return start_fallback(why);
	log_line("fs: the disk cannot be served: %s", why);
	if (self_restarted())
		block_disk_disbelieve(); // the incarnation before served it
	return error;
}

// ---- the disk ----

static const char *open_trouble(enum error error)
{
	switch (error) {
	case ERR_NOT_FOUND:
		return "the manifest does not let fs use block0";
	case ERR_PEER_LOST:
		return "the block driver is given up or has no device";
	case ERR_REFUSED:
		return "the block driver refused the channel";
	case ERR_NO_MEMORY:
	case ERR_QUOTA:
		return "there is no memory for the channel to the block driver";
	default:
		return "the block driver does not answer as it should";
	}
}

static enum error fs_start(uint64_t *mark)
{
	static char text[sizeof(volume.reason)];
	bool resumed = false;
	struct cache_memory cache;
	*mark = 0;
	enum error error = block_disk_open(&disk, "block0", (uint64_t)argument_number("log=", LOG_KIB) * 1024, &resumed);
	if (error != ERR_OK)
		return refuse_or_fall_back(error, open_trouble(error));
	if (resumed && commit_flags(&disk) & COMMIT_FLAG_FALLBACK)
		return start_fallback("this boot began without one");
	if (!take_cache(&cache))
		return ERR_NO_MEMORY;
	error = volume_mount(&volume, &disk, &cache, resumed, mark);
	if (error != ERR_OK) {
		memcpy(text, volume.reason, sizeof(text));
		kcall(CALL_memory_free, cache.first);
		return refuse_or_fall_back(error, text);
	}
	uint64_t base = boot_time_base();
	commit_set_facts(&disk, base, commit_flags(&disk));
	announce();
	return serve_start(&volume, base, mark, argument_number("commit=", COMMIT_MS));
}

static const struct server fs_server = {
	.protocol = &fs_protocol,
	.start = fs_start,
	.request = serve_request,
	.lost = serve_lost,
	.replayed = serve_replayed,
	.closed = serve_closed,
	.refusing = serve_refusing,
	.commit_wanted = serve_commit_wanted,
	.fibers = WORKERS,
};

COMPONENT(fs, &fs_server);
