# Runs in the guest: a scheduler that is asked for each connection, through NAT, by the kernel's own expression `queue`.
. ./lab.sh
echo "Linux $(uname -r)"

fail() { echo "queue: FAILED: $*" && cat director.log && exit 1; }
wvs() { within d ./wvs --socket /run/wvs.sock "$@"; }
get() { within c curl -sS -m 20 "http://$VIP/name"; }

# Eight requests, of which one server gets all if the scheduler is asked.
names() { for _ in 1 2 3 4 5 6 7 8; do get || return; done | sort | uniq -c | xargs; }

lab
for number in 1 2; do
	mkdir -p /srv/r$number
	echo r$number >/srv/r$number/name
	within r$number httpd -p 80 -h /srv/r$number
done
ip -n d addr add $VIP/32 dev lo
cat >wvs.toml <<-END
	[[service]]
	name = "web"
	listen = ["tcp://$VIP:80"]
	forward = "full-nat"
	scheduler = "lblc"
	backend = [{ address = "10.2.1.2:80", weight = 1000 }, { address = "10.2.2.2:80", weight = 1000 }]
END
exec_director() { exec ip netns exec d ./wvs run --config wvs.toml --socket /run/wvs.sock --state-dir /run/wvs >director.log 2>&1; }
exec_director &
director=$!
for _ in $(seq 600); do
	wvs status >/dev/null 2>&1 && break
	sleep 0.1
done
asked=$(names)
case $asked in "8 r1" | "8 r2") ;; *) fail "$asked" ;; esac
picks=$(wvs status -o json | grep -o '"picks": *[0-9]*' | grep -o '[0-9]*$')
[ "$picks" = 8 ] || fail "picks: $picks"
wvs export nft >export
within d nft -s list chain ip wvs ask-web >listed
grep -q 'queue flags bypass to 7776' export && grep -q 'queue flags bypass to 7776' listed || fail "$(cat listed)"
kill -KILL $director
wait $director 2>/dev/null
without=$(names)
[ "$without" = "4 r1 4 r2" ] || fail "without a director: $without"
echo "queue: $asked with $picks picks, $without without a director"
