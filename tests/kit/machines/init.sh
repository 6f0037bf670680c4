# Process 1 of a stand-in machine, in new user, PID and mount namespaces. KIT is the machine's folder.
# It says its process id (as seen outside) when it is up, and exits with 39 on signal 39 (SIGRTMIN+5), on which systemd reboots.
set -e
read -r pid _ </proc/self/stat # the old /proc still, so the outer id
mount -t proc proc /proc
mount --bind "$KIT/boot_id" /proc/sys/kernel/random/boot_id
for folder in /usr/bin /bin; do
	[ -L "$folder" ] || mount -t overlay overlay -o "lowerdir=$KIT/bin:$folder" "$folder"
done
mount --bind "$KIT/run" "$(readlink -f /var/run)"
trap 'echo 39 >>"$KIT/signals"; [ -e "$KIT/ignore" ] || exit 39' 39
set +e
echo "$pid"
exec >/dev/null
sleep infinity &
while :; do wait $!; done
