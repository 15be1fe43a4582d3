# Runs in the guest: instructions that a packet takes from its source through the director to a real server's interface.
# Prints a line `KIND PROTOCOL CASE INSTRUCTIONS` for each, and where packets did not arrive.
. ./lab.sh

ipvs() { # ipvs PROTOCOL -g|-i
	ip -n d addr add $VIP/32 dev lo
	within d ipvsadm -A "-${1:0:1}" $VIP:80 -s rr
	for number in 1 2; do within d ipvsadm -a "-${1:0:1}" $VIP:80 -r 10.2.$number.2:80 "$2"; done
}

prepare() { # prepare CASE PROTOCOL
	lab
	case $1 in
	ipvs-dr) ipvs "$2" -g ;;
	ipvs-tun) ipvs "$2" -i ;;
	wvs-*) static_director "${1#wvs-}" >/dev/null ;;
	esac || exit 1
	# With GRO a veth interface works as a network card's driver does: by NAPI.
	for device in d0 d1 d2; do within d ./packet-source gro $device; done
	for number in 1 2; do
		tc -n r$number qdisc add dev r clsact
		tc -n r$number filter add dev r ingress bpf direct-action object-file source.bpf.o section classifier
	done
}

arrived() { # How many packets both real servers have got.
	echo $(($(within r1 cat /sys/class/net/r/statistics/rx_packets) +
		$(within r2 cat /sys/class/net/r/statistics/rx_packets)))
}

measure() { # measure KIND PROTOCOL CASE
	local before sent instructions
	before=$(arrived)
	read -r sent instructions < <(within c ./packet-source send c0 "$(mac d 0)" "$(mac c 0)" $VIP "$2" "$1" 16384)
	[ $(($(arrived) - before)) = "$sent" ] || echo "$1 $2 $3: $(($(arrived) - before)) of $sent packets arrived" >&2
	echo "$1 $2 $3 $instructions"
}

for case in ipvs-dr ipvs-tun wvs-dr wvs-tun; do
	for protocol in udp tcp; do
		prepare $case $protocol
		for kind in established new; do measure $kind $protocol $case; done
	done
done
