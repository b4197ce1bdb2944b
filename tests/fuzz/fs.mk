# Fuzzers of the file system.
FUZZ_FS := servers/fs/cache.c servers/fs/commit.c servers/fs/journal.c servers/fs/journal_replay.c servers/fs/mark.c \
	servers/fs/mount.c servers/fs/super.c servers/fs/layout.c servers/fs/checksum.c servers/fs/index.c servers/fs/alloc.c servers/fs/inode.c servers/fs/orphan.c \
	servers/fs/bmap.c servers/fs/extent.c servers/fs/dir.c servers/fs/content.c servers/fs/name.c servers/fs/ops.c servers/fs/memory_disk.c
FUZZ_fuzz_ext2 := $(FUZZ_FS)
FUZZ_fuzz_journal := $(FUZZ_FS)
