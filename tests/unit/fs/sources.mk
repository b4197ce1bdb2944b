# Sources that each test of the file system links.
FS_CORE := servers/fs/cache.c servers/fs/commit.c servers/fs/journal.c servers/fs/journal_replay.c servers/fs/mark.c \
	servers/fs/mount.c servers/fs/guard.c servers/fs/judge.c servers/fs/ledger.c servers/fs/seal.c servers/fs/super.c servers/fs/damage.c servers/fs/layout.c servers/fs/checksum.c servers/fs/crc32c.c servers/fs/index.c servers/fs/alloc.c servers/fs/inode.c servers/fs/orphan.c \
	servers/fs/bmap.c servers/fs/extent.c servers/fs/dir.c servers/fs/content.c servers/fs/name.c servers/fs/ops.c servers/fs/memory_disk.c runtime/digest.c
FS_FIXTURE := tests/unit/fs/fixture.c tests/unit/fs/model.c tests/unit/fs/deaths.c
TEST_test_fs_random := $(FS_CORE) $(FS_FIXTURE)
TEST_test_fs_judge := $(FS_CORE) $(FS_FIXTURE)
TEST_test_fs_ledger := $(FS_CORE) $(FS_FIXTURE)
TEST_test_fs_attributes := $(FS_CORE) $(FS_FIXTURE)
# serve.c, share.c, block.c and poison.c are compiled into the test itself.
TEST_test_fs_serve := $(FS_CORE) servers/fs/doubt.c servers/fs/handle.c servers/fs/lock.c $(FS_FIXTURE)
TEST_test_fs_crash := $(FS_CORE) $(FS_FIXTURE)
TEST_test_fs_tree := $(FS_CORE) $(FS_FIXTURE)
TEST_test_fs_edge := $(FS_CORE) $(FS_FIXTURE)
TEST_test_fs_hostile := $(FS_CORE) $(FS_FIXTURE)
TEST_test_fs_ext4 := $(FS_CORE) $(FS_FIXTURE)
TEST_test_fs_power := $(FS_CORE) $(FS_FIXTURE)
TEST_test_fs_journal := $(FS_CORE) $(FS_FIXTURE)
# crc32c.c is compiled into the test itself.
TEST_test_fs_guard := $(filter-out servers/fs/crc32c.c,$(FS_CORE)) $(FS_FIXTURE)
TEST_test_fs_doubt := servers/fs/doubt.c
TEST_test_fs_handle := servers/fs/handle.c
# share.c is compiled into the test itself.
TEST_test_fs_share :=
