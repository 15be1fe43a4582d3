# Sourced in the guest: a client, a director and two real servers. Neighbours are known for good, so that nothing is
# resolved while something is measured.
#
#   c 10.1.0.2 ---- 10.1.0.1 d 10.2.1.1 ---- 10.2.1.2 r1 10.3.1.2 ---- 10.3.1.1 c
#                            d 10.2.2.1 ---- 10.2.2.2 r2 10.3.2.2 ---- 10.3.2.1 c
#
# Real servers have the virtual address and answer without the director.

VIP=10.99.0.1
mac() { # mac HOST NUMBER
	printf '02:00:00:00:%02x:%02x' "'$1" "$2"
}

within() { ip netns exec "$@"; }

link() { # link HOST DEVICE ADDRESS PEER PEERS-DEVICE PEERS-ADDRESS NUMBER
	ip link add "$2" netns "$1" address "$(mac "$1" "$7")" type veth \
		peer name "$5" netns "$4" address "$(mac "$4" "$7")"
	ip -n "$1" addr add "$3/24" dev "$2"
	ip -n "$4" addr add "$6/24" dev "$5"
	ip -n "$1" link set "$2" up
	ip -n "$4" link set "$5" up
	ip -n "$1" neigh replace "$6" lladdr "$(mac "$4" "$7")" dev "$2" nud permanent
	ip -n "$4" neigh replace "$3" lladdr "$(mac "$1" "$7")" dev "$5" nud permanent
}

lab() { # Makes all of it anew.
	local host number
	for host in c d r1 r2; do
		ip netns del $host 2>/dev/null
		ip netns add $host
		ip -n $host link set lo up
		within $host sysctl -q net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.default.rp_filter=0 \
			net.ipv4.conf.all.send_redirects=0 net.ipv4.conf.default.send_redirects=0 \
			net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.default.disable_ipv6=1 \
			net.ipv4.conf.all.arp_ignore=1 net.ipv4.ip_forward=1
	done
	link c c0 10.1.0.2 d d0 10.1.0.1 0
	ip -n c route add default via 10.1.0.1
	for number in 1 2; do
		link d d$number 10.2.$number.1 r$number r 10.2.$number.2 $number
		link r$number x 10.3.$number.2 c c$number 10.3.$number.1 $((number + 2))
		ip -n r$number route add default via 10.3.$number.1
		ip -n r$number addr add $VIP/32 dev lo
	done
	# Clients that the packet source makes up.
	ip -n d route add 10.9.0.0/16 via 10.1.0.2
}

# static_director METHOD: our program at the director's d0, for the virtual address's port 80. Its pins are outside /sys,
# which each `ip netns exec` has its own of.
static_director() {
	mkdir -p /run/bpf
	grep -q ' /run/bpf ' /proc/mounts || mount -t bpf bpf /run/bpf
	rm -rf /run/bpf/wvs
	ip -n d addr replace $VIP/32 dev lo
	within d ./static-director /run/bpf/wvs d0 "$1" $VIP 80 \
		"10.2.1.2=d1,$(mac r1 1),$(mac d 1),10.2.1.1" "10.2.2.2=d2,$(mac r2 2),$(mac d 2),10.2.2.1"
}
