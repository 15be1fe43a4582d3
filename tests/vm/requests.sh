# Runs in the guest: requests.sh METHOD... - real requests through the director by each of static-director's methods, to
# real servers that take tunnels apart by the kernel's own devices. A line for each; fails where one does.
. ./lab.sh
size=3000000

tunnel_ends() { # tunnel_ends METHOD: the kernel's device for it, on the real servers
	local number
	for number in 1 2; do
		case $1 in
		dr) ;;
		tun) ip -n r$number link set tunl0 up ;;
		gre) ip -n r$number link set gre0 up ;;
		gre-checksum)
			ip -n r$number link add ends type gre local 10.2.$number.2 icsum
			ip -n r$number link set ends up
			;;
		gue*)
			ip -n r$number fou add port 6080 gue
			ip -n r$number link set tunl0 up
			;;
		*) echo "no such method: $1" >&2 && exit 1 ;;
		esac
	done
}

servers() { # Each says its name, gives a large file, and counts what it is sent.
	local number
	for number in 1 2; do
		mkdir -p /srv/r$number/cgi-bin
		echo r$number >/srv/r$number/name
		head -c $size /dev/zero >/srv/r$number/large
		printf '#!/bin/sh\nprintf "Content-Type: text/plain\\n\\n"\nwc -c\n' >/srv/r$number/cgi-bin/count
		chmod +x /srv/r$number/cgi-bin/count
		within r$number httpd -p 80 -h /srv/r$number
	done
}

get() { within c curl -sS -m 20 "$@"; }

requests() { # requests METHOD
	local names took gave
	names=$(for _ in 1 2 3 4; do get http://$VIP/name; done | sort | uniq -c | xargs) || return
	took=$(get http://$VIP/large | wc -c)
	gave=$(get --data-binary @/srv/r1/large http://$VIP/cgi-bin/count)
	echo "$1: $names, $took bytes down, $gave up"
	[ "$names $took $gave" = "2 r1 2 r2 $size $size" ]
}

for method; do
	lab
	tunnel_ends "$method"
	# Merged segments cannot be given a checksum of GRE each.
	[ "$method" != gre-checksum ] || ip -n c link set c0 gso_max_segs 1
	servers
	static_director "$method" && requests "$method" || { echo "$method: FAILED" && exit 1; }
	killall httpd
done
