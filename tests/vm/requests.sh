# Runs in the guest: requests.sh METHOD... - real requests through the director by each method (dr, tun, ...), to real
# servers that take tunnels apart by the kernel's own devices. A line for each; fails where one does.
. ./lab.sh
size=3000000

tunnel_ends() { # tunnel_ends METHOD: the kernel's device for it, on the real servers
	local number
	for number in 1 2; do
		case $1 in
		dr) ;;
		tun) ip -n r$number link set tunl0 up ;;
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
	servers
	static_director "$method" && requests "$method" || { echo "$method: FAILED" && exit 1; }
	killall httpd
done
