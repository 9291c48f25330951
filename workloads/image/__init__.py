"""Guest kernel and initramfs: found, unpacked and written without installing anything on the machine."""
