#!/usr/bin/env bash
# The journal on file systems that are made for it: ext4 that loses power, a device whose flushes fail, disks that are full.
# Needs Linux, root, loop devices, mkfs.ext4 and perl, and is skipped, visibly, without them. All that is mounted is in a
# temporary folder, and gone at the end. The tests are those of tests/under_a_real_kernel.rs.
# shellcheck source=scripts/common.sh
. "$(dirname "$0")/common.sh"

need_toolchain
mkdir -p "$evidence"
rm -f "$evidence"/{power_cut,failed_flush,full_disk}.json

what="file systems that lose power, fail or are full"
[ "$(uname -s)" = Linux ] || { skipped "$what: only on Linux" && exit 0; }
[ "$(id -u)" -eq 0 ] || { skipped "$what: only for root" && exit 0; }
for tool in losetup mkfs.ext4 mount umount perl truncate fallocate; do
    command -v "$tool" >/dev/null 2>&1 || { skipped "$what: $tool is not installed" && exit 0; }
done

cargo test --release --all-features --no-run --test under_a_real_kernel

# On a real disk, if the temporary folder is not.
folder=$(mktemp -d "${TMPDIR:-/tmp}/redeliver-kernel.XXXXXX")
devices=()
clean_up() {
    local place device
    # What is on a device, the device, and what that is on.
    for place in power failing ext4 tmpfs; do
        while mountpoint -q "$folder/$place"; do umount "$folder/$place" || umount -l "$folder/$place" || break; done
    done
    for device in "${devices[@]}"; do losetup -d "$device" || true; done
    ! mountpoint -q "$folder/backing" || umount "$folder/backing" || umount -l "$folder/backing" || true
    rm -rf "$folder"
}
trap clean_up EXIT
trap 'exit 130' INT TERM
mkdir "$folder"/{power,failing,ext4,tmpfs,backing}

# attach FILE: an ext4 on it, on a loop device, whose name is in $device then.
attach() {
    mkfs.ext4 -q -F -E lazy_itable_init=1,lazy_journal_init=1 "$1"
    device=$(losetup --find --show "$1") || return 1
    devices+=("$device")
}

truncate -s 64M "$folder/power.image"
if ! attach "$folder/power.image" || ! mount -t ext4 "$device" "$folder/power"; then
    skipped "$what: no loop device, or no ext4, to be had here"
    exit 0
fi
umount "$folder/power"
export REDELIVER_DEVICE=$device REDELIVER_PLACE=$folder/power

# The device has less room than it says: what it cannot keep fails when it is flushed.
mount -t tmpfs -o size=24m tmpfs "$folder/backing"
truncate -s 64M "$folder/backing/image"
attach "$folder/backing/image"
fallocate -l "$((24 * 1024 * 1024 - $(du -B1 "$folder/backing/image" | cut -f 1) - 3 * 1024 * 1024))" "$folder/backing/balloon"
export REDELIVER_FAILING_DEVICE=$device REDELIVER_FAILING_PLACE=$folder/failing REDELIVER_BALLOON=$folder/backing/balloon

mount -t tmpfs -o size=2m tmpfs "$folder/tmpfs"
truncate -s 6M "$folder/full.image"
attach "$folder/full.image"
mount -t ext4 "$device" "$folder/ext4"
export REDELIVER_FULL_PLACES=$folder/tmpfs:$folder/ext4

cargo test --release --all-features --test under_a_real_kernel -- --test-threads=1 --nocapture "$@"
