# Sources that each test of the drivers links.
TEST_test_virtqueue := servers/blk/virtqueue.c tests/unit/drivers/fake_host.c
TEST_test_transfer := servers/blk/transfer.c
TEST_test_blk := servers/blk/virtqueue.c servers/blk/transfer.c servers/blk/virtio_blk.c servers/blk/blk.c \
	runtime/pci_config.c tests/unit/drivers/fake_host.c tests/unit/drivers/fake_server.c \
	tests/unit/drivers/fake_disk.c
TEST_test_console := servers/console/console.c servers/console/uart.c tests/unit/drivers/fake_host.c \
	tests/unit/drivers/fake_server.c
TEST_test_pci := supervisor/pci.c runtime/pci_config.c tests/unit/drivers/fake_host.c
TEST_test_machine := supervisor/machine.c tests/unit/drivers/fake_host.c libfdt
