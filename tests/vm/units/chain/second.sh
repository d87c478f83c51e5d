# Stopped in the middle of the chain: what it writes then must be on the disk when the machine is off.
say() {
    echo "second $1 $(awk '{ printf "%.0f", $1 * 1000000000 }' /proc/uptime)" | tee -a /mnt/events >/dev/console
}
finish() {
    say stopping
    dd if=/dev/urandom of=/mnt/data bs=64k count=128 2>/dev/null
    md5sum </mnt/data >/mnt/sum
    say stopped
    exit 0
}
trap finish TERM
say started
while :; do
    sleep 1000 &
    wait $!
done
